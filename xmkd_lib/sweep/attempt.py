"""One attempt at a run: the same code on this machine's seats and on those of a cluster."""

import os
import socket
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from xmkd_lib.errors import UserError
from xmkd_lib.records import read_json
from xmkd_lib.sweep.folder import Status, archive, finished, read_status, result_digest, write_status
from xmkd_lib.sweep.marks import SWEEP
from xmkd_lib.sweep.seat import THREADS, Seat

TOGETHER = "checkpoint/together.json"  # where seeds that are trained together say so


@dataclass(frozen=True)
class Task:
    """All that an attempt needs, as JSON: what to execute, where, within which bounds, and what it must leave."""

    folder: str
    notebook: str
    kernel: str
    parameters: dict[str, Any]
    settings: dict[str, Any]
    seed: int
    metrics: list[str]
    figures: list[str]
    timeout: float | None
    memory_gb: float | None
    threads: int
    preload: list[str]
    code: str
    notebook_digest: str
    outdated: int = 0  # attempts up to this number do not count, valid or not

    @property
    def name(self) -> str:
        """The run's name: its folder's."""
        return Path(self.folder).name


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended: state ok, failed, killed, timeout or invalid; the reason if not ok; wall seconds."""

    name: str
    state: str
    reason: str | None
    seconds: float


def attempt(task: Task, seat: Seat) -> Outcome:
    """Execute a run and write how it ended. OSError where its folder cannot be written.

    A run that another attempt has finished meanwhile is not repeated: a cluster gives the run of a worker that it
    lost sight of to another one. Of two attempts at a time the second waits for the first.
    """
    run = Path(task.folder)
    run.mkdir(parents=True, exist_ok=True)
    with FileLock(run / ".lock"):
        done = finished(run)
        today = (task.code, task.notebook_digest)
        if done and done.attempt > task.outdated and (done.code, done.notebook) == today:
            return Outcome(task.name, "ok", None, done.seconds or 0.0)
        number = archive(run, keep_checkpoint=_same_origin(run, task) and not done)
        status = Status(
            state="running",
            seed=task.seed,
            settings=task.settings,
            attempt=number,
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            host=socket.gethostname(),
            pid=os.getpid(),
            code=task.code,
            notebook=task.notebook_digest,
            together=_trained_with(run),
        )
        write_status(run, status)
        begun = time.monotonic()
        folder = run.parent.resolve()
        env = {SWEEP: str(folder), **dict.fromkeys(THREADS, str(task.threads))}
        state, reason = seat.execute(asdict(task), env, folder / "workers.log")
        seconds = time.monotonic() - begun
        ended = {"state": state, "reason": reason, "seconds": round(seconds, 3), "peak_memory": seat.peak or None}
        ended["result"] = result_digest(run) if state == "ok" else None
        write_status(run, status.model_copy(update=ended))
    return Outcome(task.name, state, reason, seconds)


def _same_origin(run: Path, task: Task) -> bool:
    """Whether the checkpoint that lies there may be gone on from: no attempt yet, or one of this code and notebook."""
    try:
        status = read_status(run)
    except UserError:
        return False
    return status is None or (status.code, status.notebook) == (task.code, task.notebook_digest)


def _trained_with(run: Path) -> list[int] | None:
    """The seeds that `joint` trained in one process with this one."""
    try:
        return read_json(run / TOGETHER)
    except UserError:
        return None
