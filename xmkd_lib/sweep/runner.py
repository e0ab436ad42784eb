"""Running tasks: a few at a time, each failure for itself, whoever executes them."""

import os
import queue
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Protocol

from xmkd_lib.errors import UserError
from xmkd_lib.sweep.attempt import Outcome, Task, attempt
from xmkd_lib.sweep.seat import Seat

TICK = 0.5  # seconds


class Crew(Protocol):
    """Who executes tasks: the seats of this machine, or a cluster. Left as a context, it ends what is under way."""

    @property
    def size(self) -> int:
        """How many tasks it shall have at a time."""

    def submit(self, task: Task) -> "Future[Outcome]":
        """Start a task, or queue it."""

    def outcome(self, future: "Future[Outcome]", task: Task) -> Outcome:
        """How it ended. OSError where its folder cannot be written."""


class Watch(Protocol):
    """Who is told."""

    def finished(self, outcome: Outcome, again: bool) -> None:
        """A run ended; `again`: it failed and will be tried once more."""

    def tick(self, under_way: list[str]) -> None:
        """Half a second passed; these runs are under way."""


class Seats:
    """This machine's seats, as many as workers; runs share the CUDA devices in turn."""

    def __init__(self, workers: int):
        devices = visible_devices() or [None]
        self.size = workers
        self.seats = [Seat(devices[place % len(devices)]) for place in range(workers)]
        self.free: queue.SimpleQueue[Seat] = queue.SimpleQueue()
        for seat in self.seats:
            self.free.put(seat)
        self.pool = ThreadPoolExecutor(workers)

    def __enter__(self) -> "Seats":
        return self

    def __exit__(self, *_: object) -> None:
        for seat in self.seats:
            seat.stopped.set()  # first: a second Ctrl-C in here must not leave one that goes on
        for seat in self.seats:
            seat.stop()
        self.pool.shutdown()
        for seat in self.seats:
            seat.close()

    def submit(self, task: Task) -> "Future[Outcome]":
        """Execute a task on the next free seat."""
        return self.pool.submit(self._execute, task)

    def outcome(self, future: "Future[Outcome]", task: Task) -> Outcome:
        """How it ended."""
        return future.result()

    def _execute(self, task: Task) -> Outcome:
        seat = self.free.get()
        try:
            return attempt(task, seat)
        finally:
            self.free.put(seat)


def visible_devices() -> list[str]:
    """The CUDA devices that runs may use, as CUDA_VISIBLE_DEVICES names them."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [device for device in chosen.split(",") if device]
    import torch

    return [str(device) for device in range(torch.cuda.device_count())]


def execute(
    crew: Crew, tasks: Iterable[Task], watch: Watch, retry_failed: int = 0, max_failures: int | None = None
) -> None:
    """Execute all tasks; those that fail `retry_failed` times more, after the others.

    After `max_failures` failures no further task is started; those under way are finished. UserError where the sweep's
    folder cannot be written: nothing of what follows could be kept.
    """
    waiting, again = iter(tasks), list[Task]()
    tries, failures = Counter[str](), 0
    under_way: dict[Future[Outcome], Task] = {}
    while True:
        while len(under_way) < crew.size and (task := next(waiting, None)):
            under_way[crew.submit(task)] = task
        if not under_way and again:
            waiting, again = iter(again), []
            continue
        if not under_way:
            return
        done, _ = wait(under_way, timeout=TICK, return_when=FIRST_COMPLETED)
        for future in done:
            task = under_way.pop(future)
            outcome = _outcome(crew, future, task)
            more = outcome.state != "ok" and tries[task.name] < retry_failed
            if more:
                tries[task.name] += 1
                again.append(task)
            elif outcome.state != "ok":
                failures += 1
            watch.finished(outcome, more)
        if max_failures is not None and failures >= max_failures:
            waiting, again = iter(()), []
        watch.tick([task.name for task in under_way.values()])


def _outcome(crew: Crew, future: "Future[Outcome]", task: Task) -> Outcome:
    try:
        return crew.outcome(future, task)
    except OSError as error:
        raise UserError(
            f"{task.folder}: cannot be written ({error.strerror}). The sweep stops; what is finished is kept. Make "
            "room, and the same command goes on."
        ) from None
