"""A worker process: executes one notebook after another, as told on its standard input.

Each line in is a JSON task {notebook, folder, parameters}; each line out is {state, reason}. papermill is imported once
for many runs; the kernel of every run is a process of its own.
"""

import json
import logging
import os
import random
import sys
import time
import traceback
from pathlib import Path
from typing import Any, TextIO

START_RACES = ("Kernel died before replying to kernel_info", "Address already in use")


def main() -> None:
    """Serve tasks until standard input ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print must not look like an answer
    for line in sys.stdin:
        task = json.loads(line)
        folder = Path(task["folder"])
        with (folder / "log.txt").open("a", encoding="utf-8") as log:
            reason = execute(Path(task["notebook"]), folder, task["parameters"], log)
        _answer(answers, {"state": "failed" if reason else "ok", "reason": reason})


def execute(notebook: Path, folder: Path, parameters: dict[str, Any], log: TextIO) -> str | None:
    """Run a notebook into `folder/notebook.ipynb`. None when it left a valid result, else the reason in one line."""
    from papermill.exceptions import PapermillExecutionError

    from xmkd_lib.errors import UserError
    from xmkd_lib.records import Result

    try:
        _papermill(notebook, folder, parameters)
        Result.load(folder / "result.json")
    except PapermillExecutionError as error:
        log.write("\n".join(error.traceback) + "\n")
        return f"{error.ename}: {error.evalue}".strip().splitlines()[0]
    except UserError as error:
        log.write(f"{error}\n")
        return str(error)
    except Exception as error:
        # whatever papermill, the kernel or the disk raises ends this run alone; the whole trace is kept in log.txt
        log.write(traceback.format_exc())
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return None


def _papermill(notebook: Path, folder: Path, parameters: dict[str, Any]) -> None:
    import papermill

    logging.getLogger("papermill").setLevel(logging.ERROR)
    for attempt in range(3):
        try:
            papermill.execute_notebook(
                str(notebook),
                str(folder / "notebook.ipynb"),
                parameters={**parameters, "out": str(folder)},
                kernel_name="python3",
                language="python",  # for a notebook whose metadata name neither kernel nor language
                progress_bar=False,
            )
            return
        except RuntimeError as error:
            # kernels started at the same moment can race for a port; only that is worth another try
            if attempt == 2 or not any(race in str(error) for race in START_RACES):
                raise
            time.sleep(random.uniform(0.2, 1.5))


def _answer(stream: TextIO, message: dict[str, Any]) -> None:
    stream.write(json.dumps(message) + "\n")
    stream.flush()


if __name__ == "__main__":
    main()
