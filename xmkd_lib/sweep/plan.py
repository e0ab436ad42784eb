"""What a sweep's folder should hold, what of it is there and valid, and what is to be done."""

import json
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xmkd_lib.cache import source_digest
from xmkd_lib.errors import UserError
from xmkd_lib.records import write_atomically
from xmkd_lib.sweep.attempt import Task
from xmkd_lib.sweep.folder import FORMAT, finished, read_status
from xmkd_lib.sweep.parameters import read_notebook
from xmkd_lib.sweep.spec import PlannedRun, Sweep


@dataclass(frozen=True)
class Plan:
    """A specification beside its folder.

    todo: runs without a valid result, and `causes`: how many of them are missing, failed, killed, ... changed: valid
    ones of other code or another notebook than today's. done: valid ones. seconds: of each valid one.
    """

    todo: list[PlannedRun] = field(default_factory=list)
    changed: list[PlannedRun] = field(default_factory=list)
    done: list[PlannedRun] = field(default_factory=list)
    causes: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)

    @property
    def typical_seconds(self) -> float | None:
        """Median time of a finished run, None where there is none."""
        return statistics.median(self.seconds) if self.seconds else None


def plan(sweep: Sweep, folder: Path) -> Plan:
    """Compare the specification with the folder: a run with status ok and its own result is valid, and no other."""
    found, today = Plan(), (source_digest(), sweep.notebook_file.digest)
    for run in sweep.runs():
        status = finished(folder / run.name)
        if status is None:
            found.todo.append(run)
            found.causes[_cause(folder / run.name)] += 1
            continue
        found.seconds.append(status.seconds or 0.0)
        same = (status.code, status.notebook) == today
        (found.done if same else found.changed).append(run)
    return found


def tasks(sweep: Sweep, folder: Path, runs: Sequence[PlannedRun]) -> Iterator[Task]:
    """What is to be executed, each made when it is asked for."""
    notebook = sweep.notebook_file
    metric = sweep.metric or "test_eer"
    for run in runs:
        done = finished(folder / run.name)  # chosen to be run again
        yield Task(
            folder=str((folder / run.name).resolve()),
            notebook=str(copy_of(sweep, folder)),
            kernel=notebook.kernel,
            parameters=sweep.parameters(run),
            settings=sweep.full_settings(run),
            seed=run.seed,
            metrics=[metric, f"{metric}_best"] if notebook.is_experiment else [metric],
            figures=sweep.figures,
            timeout=sweep.timeout,
            memory_gb=sweep.memory_gb,
            threads=sweep.threads,
            preload=notebook.preload,
            code=source_digest(),
            notebook_digest=notebook.digest,
            outdated=done.attempt if done else 0,
        )


def copy_of(sweep: Sweep, folder: Path) -> Path:
    """Where a sweep's folder keeps the notebook that its runs execute."""
    notebook = sweep.notebook_file
    return (folder / f"{notebook.path.stem}-{notebook.digest[:8]}.ipynb").resolve()


def keep_notebook(sweep: Sweep, folder: Path) -> None:
    """Copy the notebook: who goes on writing in it does not change runs that are still to come. UserError."""
    notebook = sweep.notebook_file
    write_atomically(copy_of(sweep, folder), notebook.path.read_bytes())
    if read_notebook(copy_of(sweep, folder)).digest != notebook.digest:
        raise UserError(f"{notebook.path}: was changed while the sweep began. Start it again.")


def write_plan(sweep: Sweep, folder: Path) -> None:
    """Keep `plan.json`: what a report needs to know of the specification, and which runs belong to it."""
    content = {
        "format": FORMAT,
        "name": sweep.name,
        "title": sweep.title,
        "preset": sweep.preset,
        "notebook": sweep.notebook_file.path.name,
        "baselines": sweep.compared,
        "metric": sweep.metric,
        "dataset": sweep.dataset,
        "seeds": sweep.seeds,
        "runs": [
            {"name": run.name, "seed": run.seed, "settings": {**sweep.settings, **run.chosen}} for run in sweep.runs()
        ],
    }
    write_atomically(folder / "plan.json", json.dumps(content, indent=1))


def _cause(run: Path) -> str:
    """Why a run is to be done: missing, damaged, stale (its sweep was killed), invalid, or the state it ended in."""
    try:
        status = read_status(run)
    except UserError:
        return "damaged"
    if status is None:
        return "missing"
    return {"running": "stale", "ok": "invalid"}.get(status.state, status.state)
