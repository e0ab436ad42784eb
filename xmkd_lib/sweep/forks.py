"""Kernels as forks of a server that has imported everything already: importing is half of a short run."""

import multiprocessing
import os
import random
import signal
import sys
import tempfile
import threading
from collections.abc import Sequence
from multiprocessing import forkserver
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path


def can_fork() -> bool:
    """Whether kernels may be forked: on Linux alone, and not beside CUDA, whose driver does not survive a fork."""
    return sys.platform == "linux" and not Path("/proc/driver/nvidia").exists() and sockets_fit()


def sockets_fit() -> bool:
    """Whether paths of sockets in the folder for temporary files stay below the system's 100-odd characters."""
    return len(tempfile.gettempdir()) < 60


def ending(code: int | None) -> str:
    """How a process ended, in words.

    >>> ending(-9), ending(3)
    ('by signal 9 (SIGKILL)', 'with exit code 3')
    """
    if code is None:
        return "in an unknown way"
    return f"by signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"with exit code {code}"


def start_server(modules: Sequence[str]) -> None:
    """Let the server import what kernels will need, in the background."""
    forkserver.set_forkserver_preload(list(modules))
    forkserver.ensure_running()


def kernel(arguments: list[str], env: dict[str, str], cwd: str | None) -> BaseProcess:
    """An unstarted process that will be an IPython kernel with these arguments; it dies with the process that asks."""
    return multiprocessing.get_context("forkserver").Process(target=_be_kernel, args=(arguments, env, cwd))


def _be_kernel(arguments: list[str], env: dict[str, str], cwd: str | None) -> None:
    from ipykernel import kernelapp

    os.setsid()  # a process group of its own: what the notebook starts ends with it
    os.environ.clear()
    os.environ.update(env)
    if cwd:
        os.chdir(cwd)
    _reseed()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.argv = ["ipykernel_launcher", *arguments]
    kernelapp.launch_new_instance(parent_handle=os.getppid())


def _reseed() -> None:
    """Every fork would draw the same random numbers: give it its own, as a fresh process has."""
    random.seed()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    if "torch" in sys.modules:
        sys.modules["torch"].seed()


def _end_with_parent() -> None:
    wait([multiprocessing.parent_process().sentinel])
    os.killpg(0, signal.SIGKILL)
