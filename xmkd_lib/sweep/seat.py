"""A seat: where runs are executed one after another, by a worker process with its threads and its device."""

import json
import os
import select
import subprocess
import sys
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from xmkd_lib.sweep.forks import ending
from xmkd_lib.sweep.marks import SEAT, end_marked

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
LOOK_EVERY = 1.0  # seconds between looks at a run's memory
GB = 1e9

Verdict = tuple[str, str | None]  # state, reason


class Seat:
    """A worker process that is started when it is needed, watched, and replaced when it is gone.

    device: CUDA_VISIBLE_DEVICES of its runs; None leaves it as it is.
    """

    def __init__(self, device: str | None = None):
        self.device = device
        self.process: subprocess.Popen | None = None
        self.stopped = threading.Event()
        self.mark = uuid.uuid4().hex
        self.peak = 0

    def execute(self, task: dict[str, Any], env: dict[str, str], log: Path) -> Verdict:
        """Execute a task's notebook. What it started is ended when it takes too long or too much memory, or on `stop`.

        `peak` is afterwards the most bytes that the run's processes held when looked at.
        """
        self.peak = 0
        if self.process is None or self.process.poll() is not None:
            self.process = self._start(env, log)
        try:
            self.process.stdin.write(json.dumps(task).encode() + b"\n")
            self.process.stdin.flush()
            answer = self._wait(task["timeout"], task["memory_gb"])
        except BrokenPipeError:
            answer = None
        if self.stopped.is_set():
            self._end()
            return "killed", "the sweep was interrupted"
        if isinstance(answer, tuple):
            self._end()
            return answer
        if not answer:
            self._end()
            return "killed", f"the worker process ended {ending(self.process.returncode)}; see {log.name}"
        found = json.loads(answer)
        reason = found["reason"]
        if found["state"] == "killed" and self.peak:
            reason += f"; when last looked at, the run held {self.peak / GB:.1f} GB{_system_killed(self.peak)}"
        return found["state"], reason

    def stop(self) -> None:
        """End the process with its kernel; a run under way is killed."""
        self.stopped.set()
        if self.process:
            end_marked(SEAT, self.mark)

    def _start(self, env: dict[str, str], log: Path) -> subprocess.Popen:
        device = {} if self.device is None else {"CUDA_VISIBLE_DEVICES": self.device}
        with log.open("ab") as file:
            return subprocess.Popen(
                [sys.executable, "-m", "xmkd_lib.sweep.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                env={**os.environ, **env, **device, SEAT: self.mark},
                start_new_session=True,  # Ctrl-C reaches the sweep alone, which then ends its workers in order
            )

    def _wait(self, timeout: float | None, memory_gb: float | None) -> bytes | Verdict:
        """The worker's answer, empty where it died; or the verdict on a run that went beyond its bounds."""
        begun, worker = time.monotonic(), psutil.Process(self.process.pid)
        while not self.stopped.is_set():
            left = LOOK_EVERY if timeout is None else min(LOOK_EVERY, begun + timeout - time.monotonic())
            if select.select([self.process.stdout], [], [], max(left, 0))[0]:
                return self.process.stdout.readline()
            if timeout is not None and time.monotonic() >= begun + timeout:
                return "timeout", f"took longer than {timeout:g} s"
            held = _held(worker)
            self.peak = max(self.peak, held)
            if memory_gb is not None and held > memory_gb * GB:
                return "failed", f"out of memory: held {held / GB:.1f} GB, and memory_gb allows {memory_gb:g}"
        return b""

    def _end(self) -> None:
        """End and reap the process; the next run starts another."""
        end_marked(SEAT, self.mark)
        self.process.wait()
        for pipe in (self.process.stdout, self.process.stdin):
            with suppress(BrokenPipeError):
                pipe.close()


def _held(worker: psutil.Process) -> int:
    """Bytes of memory that a worker's kernel and all it started hold."""
    held = 0
    with suppress(psutil.Error, OSError):
        own = os.getsid(worker.pid)
        for process in worker.children(recursive=True):
            with suppress(psutil.Error, OSError):
                if os.getsid(process.pid) != own:  # the kernels' server is no part of the run
                    held += process.memory_info().rss
    return held


def _system_killed(held: int) -> str:
    total = psutil.virtual_memory().total
    return ": perhaps the system ended it for want of memory" if held > total / 3 else ""
