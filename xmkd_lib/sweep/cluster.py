"""Runs on several machines through dask.distributed: each of its workers has seats, and the folder is shared."""

import logging
import socket
import threading
import uuid
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from pathlib import Path
from typing import Any

from xmkd_lib.cache import source_digest
from xmkd_lib.errors import UserError
from xmkd_lib.sweep.attempt import Outcome, Task, attempt
from xmkd_lib.sweep.folder import mark_killed
from xmkd_lib.sweep.seat import Seat

WAIT_FOR_WORKERS = 60  # seconds
_here = threading.local()
_seats: list[Seat] = []


class Cluster:
    """A crew of dask workers: those at a scheduler (`tcp://host:port` or a scheduler file), or new ones, `local:N`.

    A run whose worker dies is given to another one, up to three times. UserError where there is no cluster, or where a
    worker has other code or does not see the folder.
    """

    def __init__(self, address: str, folder: Path):
        try:
            import distributed
        except ImportError:
            raise UserError("Sweeps over several machines need dask: pip install distributed.") from None
        logging.getLogger("distributed").setLevel(logging.CRITICAL)  # a lost worker is ours to tell
        self.own = None
        if address.startswith("local:"):
            self.own = distributed.LocalCluster(
                n_workers=_count(address), threads_per_worker=1, dashboard_address=None, silence_logs=logging.CRITICAL
            )
        self.client = _connect(distributed, address, self.own)
        try:
            self._check(folder, address)
        except UserError:
            self._close()
            raise
        self.executor = self.client.get_executor(pure=False)

    @property
    def size(self) -> int:
        """Two tasks for every thread of the cluster: one under way, one waiting, so that none is idle."""
        return max(1, 2 * sum(self.client.nthreads().values()))

    def submit(self, task: Task) -> "Future[Outcome]":
        """Give a task to the cluster."""
        return self.executor.submit(attempt_here, task)

    def outcome(self, future: "Future[Outcome]", task: Task) -> Outcome:
        """How it ended. UserError where the scheduler is gone."""
        from distributed import KilledWorker

        try:
            return future.result()
        except KilledWorker:
            reason = "every dask worker that tried it died"
            mark_killed(Path(task.folder), reason)
            return Outcome(task.name, "killed", reason, 0.0)
        except CancelledError:
            raise UserError("The dask scheduler is gone. What is finished is kept; the same command goes on.") from None

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        self.executor.shutdown(wait=False)  # takes back what has not started
        with suppress(OSError, TimeoutError):  # a scheduler that is gone
            self.client.run(stop_here)
        self._close()

    def _close(self) -> None:
        self.client.close()
        if self.own:
            self.own.close()

    def _check(self, folder: Path, address: str) -> None:
        try:
            self.client.wait_for_workers(1, timeout=WAIT_FOR_WORKERS)
        except TimeoutError:
            raise UserError(
                f"{address}: the scheduler has no worker after {WAIT_FOR_WORKERS} s. Start some: dask worker {address}"
            ) from None
        proof = folder.resolve() / f".shared-{uuid.uuid4().hex}"
        proof.touch()
        try:
            for worker, (host, code, sees) in self.client.run(look_around, str(proof)).items():
                if code != source_digest():
                    raise UserError(f"dask worker {worker} on {host} runs other code of xmkd. Install the same there.")
                if not sees:
                    raise UserError(
                        f"dask worker {worker} on {host} does not see {folder.resolve()}. Put the sweep's folder on a "
                        "file system that all machines share, with --out."
                    )
        finally:
            proof.unlink()


def attempt_here(task: Task) -> Outcome:
    """An attempt on the seat of this dask worker's thread."""
    seat = getattr(_here, "seat", None)
    if seat is None or seat.stopped.is_set():
        seat = _here.seat = Seat()
        _seats.append(seat)
    return attempt(task, seat)


def stop_here() -> None:
    """End what is under way on this dask worker."""
    for seat in _seats:
        seat.stop()
    _seats.clear()


def look_around(proof: str) -> tuple[str, str, bool]:
    """Host, code and whether a file is seen, of this dask worker."""
    return socket.gethostname(), source_digest(), Path(proof).exists()


def _count(address: str) -> int:
    number = address.removeprefix("local:")
    if not number.isdigit() or int(number) < 1:
        raise UserError(f"--cluster {address}: write local:N with the number of workers, such as local:4.")
    return int(number)


def _connect(distributed: Any, address: str, own: Any) -> Any:
    try:
        if own is not None:
            return distributed.Client(own)
        if address.endswith(".json"):
            return distributed.Client(scheduler_file=address, timeout=20)
        return distributed.Client(address, timeout=20)
    except (OSError, ValueError, TimeoutError) as error:
        raise UserError(f"{address}: no dask scheduler answers there ({error}). Start one: dask scheduler") from None
