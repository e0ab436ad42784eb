"""Runs on several machines through dask.distributed: each thread of its workers is a seat, and the folder is shared."""

import gc
import hashlib
import logging
import os
import socket
import subprocess
import sys
import threading
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from xmkd_lib.cache import source_digest
from xmkd_lib.errors import UserError
from xmkd_lib.records import read_json
from xmkd_lib.sweep.attempt import Outcome, Task, attempt
from xmkd_lib.sweep.folder import mark_killed
from xmkd_lib.sweep.marks import SWEEP, end_marked
from xmkd_lib.sweep.runner import visible_devices
from xmkd_lib.sweep.seat import Seat

ANSWER_WITHIN = 10  # seconds
WAIT_FOR_WORKERS = 60  # seconds
LOADING = (ImportError, AttributeError, TypeError)  # where what was sent names things that are not there
GONE = "The dask scheduler is gone. What is finished is kept; start one, and the same command goes on."

_here = threading.local()
_seats: defaultdict[str, list[Seat]] = defaultdict(list)  # of this dask worker, by the sweep's proof


@dataclass(frozen=True)
class Site:
    """What a worker must have. proof: a file in the folder that is there as long as the sweep goes on, and names it."""

    proof: str
    code: str


class Cluster:
    """A crew of dask workers: those at a scheduler (`tcp://host:port` or a scheduler file), or new ones, `local:N`.

    A run whose worker dies is given to another, unless it was on four that died. `say` gets what a person should know.
    UserError where there is no cluster, or where a worker has other code or does not see the folder.
    """

    def __init__(self, address: str, folder: Path, say: Callable[[str], None]):
        distributed = _distributed()
        self.say, self.waiting = say, False
        proof = folder.resolve() / f".shared-{uuid.uuid4().hex}"
        self.site = Site(str(proof), _code())
        with ExitStack() as stack:
            # a lost worker is ours to tell
            stack.enter_context(distributed.utils.silence_logging_cmgr(logging.CRITICAL))
            if address.startswith("local:"):
                address = stack.enter_context(_local(_count(address), folder / "workers.log"))
            self.client = stack.enter_context(_connect(distributed, address))
            stack.enter_context(_kept(proof))
            self._check(address)
            self.executor = self.client.get_executor(pure=False)
            self.stack = stack.pop_all()

    @property
    def size(self) -> int:
        """A task for every thread of the cluster, which may grow and shrink; one that waits where there is none now."""
        try:
            threads = sum(self.client.nthreads().values())
        except OSError:
            raise UserError(GONE) from None
        if self.waiting != (not threads):
            self.waiting = not threads
            self.say("No dask worker is left: waiting for one." if self.waiting else "A dask worker is there again.")
        return max(1, threads)

    def submit(self, task: Task) -> "Future[Outcome]":
        """Give a task to the cluster."""
        return self.executor.submit(attempt_here, task, self.site)

    def outcome(self, future: "Future[Outcome]", task: Task) -> Outcome:
        """How it ended. UserError where the scheduler is gone, or where a worker that came later does not fit."""
        from distributed import KilledWorker

        try:
            return future.result()
        except LOADING as error:
            raise _unfit("A dask worker", error) from None
        except KilledWorker as error:
            reason = f"{error.allowed_failures + 1} dask workers died with it, the last one {error.last_worker.address}"
            mark_killed(Path(task.folder), reason)
            return Outcome(task.name, "killed", reason, 0.0)
        except CancelledError:
            raise UserError(GONE) from None

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        Path(self.site.proof).unlink(missing_ok=True)  # first: nothing of this sweep starts any more
        with self.stack:
            if self.client.status == "running":
                self.executor.shutdown(wait=False)  # takes back what has not started
                with suppress(OSError):  # a scheduler that dies now
                    self.client.run(stop_here, self.site.proof, on_error="return")

    def _check(self, address: str) -> None:
        try:
            self.client.wait_for_workers(1, timeout=WAIT_FOR_WORKERS)
        except TimeoutError:
            raise UserError(
                f"{address}: the scheduler has no worker after {WAIT_FOR_WORKERS} s. Start some: dask worker {address}"
            ) from None
        for worker, error in self.client.run(check_here, self.site, on_error="return").items():
            if error is not None:
                raise error if isinstance(error, UserError) else _unfit(f"The dask worker {worker}", error)
        # what a sweep that was killed left running there: see `owning`
        self.client.run(end_marked, SWEEP, str(Path(self.site.proof).parent), on_error="ignore")


def attempt_here(task: Task, site: Site) -> Outcome:
    """An attempt on the seat of this dask worker's thread. UserError where this is no place for it."""
    if getattr(_here, "proof", None) != site.proof:
        if hasattr(_here, "seat"):  # of a sweep that was killed
            _here.seat.stop()
        _here.proof, _here.seat = site.proof, Seat(_device())
        _seats[site.proof].append(_here.seat)
    check_here(site)  # now that the seat is known: a sweep that ends meanwhile stops it
    return attempt(task, _here.seat)


def stop_here(proof: str) -> None:
    """End what a sweep has under way on this dask worker."""
    for seat in _seats.pop(proof, []):
        seat.stop()


def check_here(site: Site) -> None:
    """UserError where this dask worker has other code, or does not see the sweep's folder."""
    who = f"The dask worker of process {os.getpid()} on {socket.gethostname()}"
    if _code() != site.code:
        raise UserError(f"{who} runs other code of xmkd. Install the same there and start the worker again.")
    if not Path(site.proof).exists():
        raise UserError(
            f"{who} does not see {Path(site.proof).parent}. Put the sweep's folder where all machines see it by "
            "one path, with --out."
        )


@cache
def _code() -> str:
    """A hash of all code that a worker executes: the library's, and this room's, on which no number depends."""
    found = hashlib.sha256(source_digest().encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()


def _device() -> str | None:
    """The CUDA device of a worker of `local:N`, which share them in turn. Others have what they were started with."""
    from distributed import get_worker

    place, devices = get_worker().name, visible_devices()
    return devices[place % len(devices)] if devices and isinstance(place, int) else None


@contextmanager
def _kept(proof: Path) -> Iterator[None]:
    for left in proof.parent.glob(".shared-*"):  # by a sweep that was killed
        left.unlink()
    proof.touch()
    try:
        yield
    finally:
        proof.unlink(missing_ok=True)


@contextmanager
def _local(workers: int, log: Path) -> Iterator[str]:
    """The address of a cluster of this machine, which ends on leaving."""
    command = [sys.executable, "-m", "xmkd_lib.sweep.local_cluster", str(workers)]
    with (
        log.open("ab") as file,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file, text=True, start_new_session=True
        ) as process,
    ):
        address = process.stdout.readline().strip()
        if not address:
            raise UserError(f"The {workers} dask workers could not be started; see {log}.")
        yield address


def _connect(distributed: Any, address: str) -> Any:
    try:
        # dask itself would wait for a missing file without end
        where = read_json(address)["address"] if address.endswith(".json") else address
        return distributed.Client(where, timeout=ANSWER_WITHIN)
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error)
    gc.collect()  # a client that failed closes when it is collected, and blocks the next one if that starts just then
    raise UserError(f"{address}: no dask scheduler answers there ({reason}). Start one: dask scheduler")


def _unfit(who: str, error: Exception) -> UserError:
    return UserError(f"{who} cannot run xmkd ({error}). Install the same version for the scheduler and all workers.")


def _distributed() -> Any:
    try:
        import distributed
    except ImportError:
        raise UserError(
            "Sweeps over several machines need dask, which is optional: pip install distributed. Without it, --workers "
            "runs several at a time on this machine."
        ) from None
    return distributed


def _count(address: str) -> int:
    number = address.removeprefix("local:")
    if not number.isdigit() or int(number) < 1:
        raise UserError(f"--cluster {address}: write local:N with the number of workers, such as local:4.")
    return int(number)
