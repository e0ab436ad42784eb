"""Marks in the environment of every process that a sweep starts: by them all are found, whoever their parent is now."""

import os
from contextlib import suppress

import psutil

SWEEP = "XMKD_SWEEP"  # the sweep's folder
SEAT = "XMKD_SEAT"  # the seat, by a number of its own


def marked(name: str, value: str) -> list[psutil.Process]:
    """Every other process of this machine with this mark."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(name) == value:
                found.append(process)
    return found


def end_marked(name: str, value: str) -> None:
    """Kill them, and what they start meanwhile."""
    while found := marked(name, value):
        for process in found:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(found, timeout=5)
