"""Who is at work in a sweep's folder: one sweep at a time, and nothing left over of one that was killed."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from xmkd_lib.errors import UserError
from xmkd_lib.records import read_json, write_atomically
from xmkd_lib.sweep.marks import SWEEP, end_marked


@contextmanager
def owning(folder: Path) -> Iterator[None]:
    """Own a sweep's folder inside. UserError naming process and host where another sweep is at work there."""
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        found = _read(folder)
        who = f"process {found['pid']} on {found['host']}" if found else "another process"
        raise UserError(
            f"{folder}: a sweep is at work there already ({who}). Wait for it, watch it with `xmkd sweep status "
            f"{folder}`, or give this one another folder with --out."
        ) from None
    try:
        end_marked(SWEEP, str(folder.resolve()))  # what a sweep that was killed left running
        content = {"pid": os.getpid(), "host": socket.gethostname(), "age": _age(os.getpid())}
        write_atomically(folder / "owner.json", json.dumps(content))
        yield
    finally:
        (folder / "owner.json").unlink(missing_ok=True)
        lock.release()


def owner(folder: Path) -> dict[str, Any] | None:
    """Process and host of the sweep at work in a folder, None where there is none. On another host it is believed."""
    found = _read(folder)
    if found and found["host"] == socket.gethostname() and _age(found["pid"]) != found["age"]:
        return None
    return found


def _read(folder: Path) -> dict[str, Any] | None:
    with suppress(UserError, KeyError, TypeError):
        found = read_json(folder / "owner.json")
        return {name: found[name] for name in ("pid", "host", "age")}
    return None


def _age(pid: int) -> float | None:
    """When a process started, counted from the machine's start: what tells it from a later one, whatever the clock."""
    with suppress(psutil.Error, TypeError, ValueError, OverflowError):  # the file may hold anything
        return round(psutil.Process(pid).create_time() - psutil.boot_time(), 1)
    return None
