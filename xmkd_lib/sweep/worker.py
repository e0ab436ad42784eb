"""A worker process: executes one notebook after another, as told on its standard input.

Its arguments name modules that its kernels will need. Each line in is a JSON task; each line out is {state, reason}.
papermill is imported once for many runs; the kernel of every run is a process of its own. When standard input ends,
whoever started the worker is gone, and it ends with its kernel, also in the middle of a run.
"""

import json
import logging
import os
import queue
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any, TextIO

from xmkd_lib.sweep import forks

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "Cannot allocate memory", "Unable to allocate")


def main() -> None:
    """Serve tasks until standard input ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print must not look like an answer
    tasks: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(tasks,), daemon=True).start()
    if forks.can_fork():
        forks.start_server(sys.argv[1:])
    while True:
        task = json.loads(tasks.get())
        with (Path(task["folder"]) / "log.txt").open("a", encoding="utf-8") as log:
            state, reason = execute(task, log)
        answers.write(json.dumps({"state": state, "reason": reason}) + "\n")
        answers.flush()


def _listen(tasks: queue.SimpleQueue) -> None:
    for line in sys.stdin:
        tasks.put(line)
    os.killpg(0, signal.SIGKILL)  # the kernels' server is in our group; kernels end when it is gone


def execute(task: dict[str, Any], log: TextIO) -> tuple[str, str | None]:
    """Run a task's notebook into its folder. State ok, or failed, killed or invalid with the reason in one line."""
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    from xmkd_lib.sweep.contract import violation

    folder = Path(task["folder"])
    try:
        book = _papermill(Path(task["notebook"]), folder, {**task["parameters"], "out": str(folder)}, task["kernel"])
        reason = violation(book, folder, task["metrics"], task["figures"], task["settings"])
    except PapermillExecutionError as error:
        log.write("\n".join(error.traceback) + "\n")
        return "failed", _one_line(error.ename, error.evalue)
    except DeadKernelError as error:
        log.write(f"{error}\n")
        return "killed", f"{error}".splitlines()[0]
    except Exception as error:
        # whatever papermill, the kernel, the disk or a broken result raises ends this run alone; log.txt has the trace
        log.write(traceback.format_exc())
        return "failed", _one_line(type(error).__name__, str(error))
    return ("invalid", reason) if reason else ("ok", None)


def _papermill(notebook: Path, folder: Path, parameters: dict[str, Any], kernel: str) -> Any:
    import papermill

    import xmkd_lib.sweep.kernels  # noqa: F401  registers the engine

    logging.getLogger("papermill").setLevel(logging.ERROR)
    source, target = (str(path).replace("{", "{{").replace("}", "}}") for path in (notebook, folder / "notebook.ipynb"))
    return papermill.execute_notebook(
        source,  # in which papermill fills in braces
        target,
        parameters=parameters,
        engine_name="xmkd",
        kernel_name=kernel,
        language="python",  # for a notebook whose metadata do not say
        progress_bar=False,
        forked=kernel == "python3" and forks.can_fork(),
    )


def _one_line(name: str, text: str) -> str:
    first = f"{name}: {text}".strip().splitlines()[0]
    lacking = name in ("MemoryError", "OutOfMemoryError") or any(words in text for words in OUT_OF_MEMORY)
    return f"out of memory: {first}" if lacking else first


if __name__ == "__main__":
    main()
