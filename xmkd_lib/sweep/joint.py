"""Seeds of one condition trained in one process before their runs, where a trial on the device shows that it pays.

Their runs then find finished trainings and only assess them. On a CPU it is not tried: at the sizes of the demo it is
slower (`tests/benchmarks/bench_together.py`), and where a clock chooses, numbers no longer repeat bit for bit.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmkd_lib.cache import digest
from xmkd_lib.experiment import OF_STUDENT
from xmkd_lib.records import write_atomically
from xmkd_lib.settings import Experiment
from xmkd_lib.sweep.attempt import TOGETHER, Task
from xmkd_lib.sweep.marks import SWEEP
from xmkd_lib.sweep.runner import visible_devices

if TYPE_CHECKING:
    from xmkd_lib.together import Trial


def worthwhile() -> bool:
    """Whether to try: with one CUDA device. On several, runs side by side are the better use."""
    return len(visible_devices()) == 1


def train_jointly(tasks: Sequence[Task], say: Callable[[str], None]) -> None:
    """Train the seeds of each condition together where that pays, each condition in a process of its own.

    What goes wrong there costs nothing but the gain: the runs train for themselves, and say what is wrong.
    """
    for group in _conditions(tasks):
        folder = Path(group[0].folder).parent
        env = {**os.environ, SWEEP: str(folder)}
        command = [sys.executable, "-m", "xmkd_lib.sweep.joint"]
        with (folder / "workers.log").open("ab") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=env,
                start_new_session=True,
            )  # fmt: skip
        try:
            told, _ = process.communicate(json.dumps([[task.settings, task.folder] for task in group]))
        finally:
            process.kill()
        reason = told.strip() or "Seeds are trained one by one: training them together failed, see workers.log."
        say(f"{Path(group[0].folder).name} and {len(group) - 1} more: {reason}")


def _conditions(tasks: Sequence[Task]) -> Iterator[list[Task]]:
    """Tasks that differ in their seed alone, of which none has begun; groups of two or more."""
    groups: dict[str, list[Task]] = {}
    for task in tasks:
        settings = {name: value for name, value in task.settings.items() if name != "seed"}
        if settings.get("device") != "cpu" and not (Path(task.folder) / OF_STUDENT).exists():
            groups.setdefault(digest(settings), []).append(task)
    return (group for group in groups.values() if len(group) > 1)


def main() -> None:
    """Train what standard input tells, as settings and folders, and print what the trial found."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no answer
    print(train(json.load(sys.stdin)), file=answers, flush=True)


def train(pairs: list[tuple[dict[str, Any], str]]) -> "Trial":
    """Train pairs of settings and a run's folder together, where it pays, and leave a note of it in each folder."""
    from xmkd_lib.together import train_together

    experiments = [Experiment(**{name: given[name] for name in Experiment.model_fields}) for given, _ in pairs]
    folders = [Path(folder) for _, folder in pairs]
    trial = train_together(experiments, folders)
    if trial.pays:
        for folder in folders:
            write_atomically(folder / TOGETHER, json.dumps([experiment.seed for experiment in experiments]))
    return trial


if __name__ == "__main__":
    main()
