"""What a sweep's folder should hold, and what of it is missing."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from xmkd_lib.cache import source_digest
from xmkd_lib.errors import UserError
from xmkd_lib.records import Result, read_json, write_atomically
from xmkd_lib.sweep.spec import PlannedRun, Sweep


class Plan(NamedTuple):
    """Runs to do, names of runs done before, and how many of those come from other code of this library."""

    todo: list[PlannedRun]
    done: list[str]
    other_code: int


def plan(sweep: Sweep, folder: Path) -> Plan:
    """Compare the specification with the folder: a run with status ok and a valid result is not done again."""
    statuses = [(run, _finished_status(folder / run.name)) for run in sweep.runs()]
    done = [(run, status) for run, status in statuses if status is not None]
    other = sum(status.get("code") != source_digest() for _, status in done)
    return Plan([run for run, status in statuses if status is None], [run.name for run, _ in done], other)


def write_plan(sweep: Sweep, folder: Path) -> None:
    """Keep `plan.json`: what a report needs to know of the specification, and which runs belong to it."""
    planned = sweep.runs()
    content = {
        "title": sweep.title,
        "baselines": sweep.baselines,
        "metric": sweep.metric,
        "dataset": planned[0].experiment.dataset,
        "runs": [run.name for run in planned],
    }
    write_atomically(folder / "plan.json", json.dumps(content, indent=1))


def read_plan(folder: Path) -> dict[str, Any]:
    """The plan of a sweep's folder. UserError when the folder is none."""
    if not (folder / "plan.json").is_file():
        raise UserError(f"{folder}: no sweep's folder (it has no plan.json). Start one with `xmkd sweep run SPEC`.")
    found = read_json(folder / "plan.json")
    if not isinstance(found, dict) or not found.keys() >= {"title", "baselines", "metric", "dataset", "runs"}:
        raise UserError(f"{folder / 'plan.json'}: is damaged. Run the sweep again; its finished runs are kept.")
    return found


def _finished_status(folder: Path) -> dict[str, Any] | None:
    """The status of a run that is done and valid, else None."""
    try:
        status = read_json(folder / "status.json")
        if not isinstance(status, dict) or status.get("state") != "ok":
            return None
        Result.load(folder / "result.json")
    except UserError:
        return None
    return status
