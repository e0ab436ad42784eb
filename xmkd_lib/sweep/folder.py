"""A run's folder: its status, whether its result counts, and its earlier attempts."""

import hashlib
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from xmkd_lib.errors import UserError
from xmkd_lib.objective import explain
from xmkd_lib.records import read_json, write_atomically

FORMAT = 2
# What one attempt leaves. `checkpoint/` is not among it: the next attempt goes on from there.
LEFT = ("status.json", "result.json", "notebook.ipynb", "log.txt", "progress.json", "figures")


class Status(BaseModel):
    """What `status.json` tells of a run's last attempt.

    started: wall-clock time, for people alone. code, notebook: what made the result, as digests. result: the SHA-256 of
    result.json, of ok runs. peak_memory: the most bytes seen. together: seeds that were trained with it in one process.
    """

    format: Literal[2] = FORMAT
    state: Literal["running", "ok", "failed", "killed", "timeout", "invalid"]
    reason: str | None = None
    seed: int | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    attempt: int = 1
    seconds: float | None = None
    started: str | None = None
    host: str | None = None
    pid: int | None = None
    code: str | None = None
    notebook: str | None = None
    result: str | None = None
    peak_memory: int | None = None
    together: list[int] | None = None


def read_status(run: Path) -> Status | None:
    """A run's status; None where there is none. UserError where it is damaged or of another version."""
    path = run / "status.json"
    try:
        return Status.model_validate(read_json(path))
    except ValidationError as error:
        why = shortened(explain(error, "entry"))
        raise UserError(f"{path}: damaged, or of another version of xmkd ({why}). Run the sweep again.") from None
    except UserError:
        if path.is_file():
            raise
        return None


def write_status(run: Path, status: Status) -> None:
    """Write a run's status, whole or not at all."""
    write_atomically(run / "status.json", status.model_dump_json(indent=1))


def mark_killed(run: Path, reason: str) -> None:
    """Say of a run whose process died before it could say so itself that it was killed."""
    with suppress(UserError):
        status = read_status(run)
        if status is not None and status.state == "running":
            write_status(run, status.model_copy(update={"state": "killed", "reason": reason}))


def result_digest(run: Path) -> str | None:
    """The SHA-256 of a run's result file, by which its status knows it; None where there is none."""
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
    counts = status is not None and status.state == "ok" and status.result == result_digest(run) is not None
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
        if path.is_file():
            path.unlink()
    if not keep_checkpoint:
        shutil.rmtree(run / "checkpoint", ignore_errors=True)
    return number


def shortened(text: str, limit: int = 300) -> str:
    """A text in one line of bounded length.

    >>> shortened("a  long\\ntext", 6)
    'a long …'
    """
    text = " ".join(text.split())
    return text if len(text) <= limit else f"{text[:limit]} …"
