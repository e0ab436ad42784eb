"""A run's folder: its status, whether its result counts, and its earlier attempts."""

import hashlib
import json
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from xmkd_lib.errors import UserError
from xmkd_lib.records import read_json, write_atomically

FORMAT = 2
# What one attempt leaves. `checkpoint/` is not among it: the next attempt goes on from there.
LEFT = ("status.json", "result.json", "notebook.ipynb", "log.txt", "progress.json", "figures")

Status = dict[str, Any]


def read_status(run: Path) -> Status | None:
    """A run's status; None where there is none. UserError where it is damaged or of another version."""
    path = run / "status.json"
    try:
        status = read_json(path)
    except UserError:
        if path.is_file():
            raise
        return None
    if not isinstance(status, dict) or status.get("format") != FORMAT or not isinstance(status.get("state"), str):
        raise UserError(f"{path}: is no status of this version (format {FORMAT}).")
    return status


def write_status(run: Path, status: Status) -> None:
    """Write a run's status, whole or not at all."""
    write_atomically(run / "status.json", json.dumps({**status, "format": FORMAT}, indent=1))


def mark_killed(run: Path, reason: str) -> None:
    """Say of a run whose process died before it could say so itself that it was killed."""
    with suppress(UserError):
        status = read_status(run)
        if status is not None and status["state"] == "running":
            write_status(run, {**status, "state": "killed", "reason": reason})


def result_digest(run: Path) -> str | None:
    """A hash of a run's result file, by which its status knows it; None where there is none."""
    try:
        return hashlib.sha256((run / "result.json").read_bytes()).hexdigest()
    except OSError:
        return None


def finished(run: Path) -> Status | None:
    """The status of a run that is done and whose result is the one that was found valid; None for any other run."""
    try:
        status = read_status(run)
    except UserError:
        return None
    counts = status is not None and status["state"] == "ok" and status.get("result") == result_digest(run)
    return status if counts else None


def archive(run: Path, keep_checkpoint: bool) -> int:
    """Move what an attempt left to `attempts/N`, and return the number of the next attempt."""
    attempts = run / "attempts"
    numbers = [int(path.name) for path in attempts.glob("*") if path.name.isdigit()]
    number = max(numbers, default=0) + 1
    left = [run / name for name in LEFT if (run / name).exists()]
    if left:
        (attempts / str(number)).mkdir(parents=True)
        for path in left:
            path.replace(attempts / str(number) / path.name)
        number += 1
    for path in run.glob(".*.*"):  # written halfway when a process was killed
        path.unlink()
    if not keep_checkpoint:
        shutil.rmtree(run / "checkpoint", ignore_errors=True)
    return number
