"""Running a sweep: what is missing, by a few worker processes, with one folder a run."""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from xmkd_lib.cache import source_digest
from xmkd_lib.records import Result, write_atomically
from xmkd_lib.sweep.spec import PlannedRun, Sweep

ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")}


@dataclass(frozen=True)
class Finished:
    """A run that ended: state ok or failed, the reason of a failure, wall seconds, the result if ok."""

    run: PlannedRun
    state: str
    reason: str | None
    seconds: float
    result: Result | None


def execute(
    sweep: Sweep,
    folder: Path,
    todo: Sequence[PlannedRun],
    on_finished: Callable[[Finished], None],
    workers: int | None = None,
) -> None:
    """Execute runs in `folder`; `on_finished` is called in this thread as each one ends.

    A failed run, or a worker that dies, fails that run alone. On KeyboardInterrupt the workers and their kernels are
    ended, their runs marked killed, and finished runs stay.
    """
    tasks: queue.SimpleQueue[PlannedRun] = queue.SimpleQueue()
    results: queue.SimpleQueue[Finished] = queue.SimpleQueue()
    for run in todo:
        _write_status(folder, run, "queued")
        tasks.put(run)
    crew = [
        _Worker(sweep.notebook_path, folder, tasks, results) for _ in range(min(workers or sweep.workers, len(todo)))
    ]
    for worker in crew:
        worker.start()
    try:
        for _ in todo:
            on_finished(results.get())
    finally:
        for worker in crew:
            worker.stop()


class _Worker(threading.Thread):
    """Feeds one worker process with runs, and replaces it when it dies."""

    def __init__(self, notebook: Path, folder: Path, tasks: queue.SimpleQueue, results: queue.SimpleQueue):
        super().__init__(daemon=True)
        self.notebook, self.folder, self.tasks, self.results = notebook, folder, tasks, results
        self.process: subprocess.Popen | None = None
        self.current: PlannedRun | None = None
        self.stopping = False

    def run(self) -> None:
        while not self.stopping:
            try:
                self.current = self.tasks.get_nowait()
            except queue.Empty:
                return
            finished = self._one_or_failed(self.current)
            if self.stopping:
                return
            self.current = None
            self.results.put(finished)

    def stop(self) -> None:
        """End the process with its kernel; a run under way is marked killed."""
        self.stopping = True
        if self.process:
            _kill_tree(self.process.pid)
            _close(self.process)
        if self.current:
            _write_status(self.folder, self.current, "killed", "the sweep was interrupted")

    def _one_or_failed(self, run: PlannedRun) -> Finished:
        """What goes wrong on our side (a full disk, a folder that vanished) fails this run; the sweep must not hang."""
        try:
            finished = self._one(run)
            if not self.stopping:
                _write_status(self.folder, run, finished.state, finished.reason, finished.seconds)
            return finished
        except (OSError, ValueError) as error:
            return Finished(run, "failed", f"{type(error).__name__}: {error}", 0.0, None)

    def _one(self, run: PlannedRun) -> Finished:
        started = time.perf_counter()
        folder = self.folder / run.name
        (folder / "result.json").unlink(missing_ok=True)  # what an earlier, failed attempt left must not count
        _write_status(self.folder, run, "running")
        if self.process is None or self.process.poll() is not None:
            self.process = self._start()
        state, reason = self._ask({"notebook": str(self.notebook), "folder": str(folder), "parameters": run.parameters})
        result = Result.load(folder / "result.json") if state == "ok" else None
        return Finished(run, state, reason, time.perf_counter() - started, result)

    def _start(self) -> subprocess.Popen:
        if self.process:
            _close(self.process)
        with (self.folder / "workers.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "xmkd_lib.sweep.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, **ONE_THREAD},
                start_new_session=True,  # Ctrl-C reaches the sweep alone, which then ends its workers in order
            )

    def _ask(self, task: dict[str, Any]) -> tuple[str, str | None]:
        try:
            self.process.stdin.write(json.dumps(task) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            code = self.process.wait()
            how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
            return "failed", f"the worker process ended {how}; see workers.log"
        found = json.loads(answer)
        return found["state"], found["reason"]


def _close(process: subprocess.Popen) -> None:
    """Reap a process that has ended or been killed, and close our ends of its pipes."""
    process.wait()
    process.stdout.close()
    with suppress(BrokenPipeError):  # a task that the process did not live to read
        process.stdin.close()


def _kill_tree(pid: int) -> None:
    """Kill a process and all below it: a kernel is in a session of its own, so a process group would miss it."""
    try:
        family = [*psutil.Process(pid).children(recursive=True), psutil.Process(pid)]
    except psutil.NoSuchProcess:
        return
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue


def _write_status(
    folder: Path, run: PlannedRun, state: str, reason: str | None = None, seconds: float | None = None
) -> None:
    settings = run.experiment.model_dump(mode="json")
    status = {
        "state": state,
        "reason": reason,
        "method": settings["method"],
        "seed": settings["seed"],
        "settings": settings,
        "seconds": seconds,
        "code": source_digest(),
    }
    write_atomically(folder / run.name / "status.json", json.dumps(status, indent=1))
