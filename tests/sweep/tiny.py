"""Tiny sweeps over invented notebooks: what a run does is a few lines, its numbers follow from its settings."""

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pandas as pd
import psutil
import yaml
from rich.console import Console

from xmkd_lib.sweep import Sweep
from xmkd_lib.sweep.live import Options, run_sweep

PARAMETERS = """
dataset: str = 'people'
method: str = 'none'
seed: int = 0
preset: str = 'smoke'
settings: dict = {}
out: str = ''
"""
RESULT = """
from xmkd_lib.records import Result

given = {"dataset": dataset, "method": method, "seed": seed}
names = [f"{split}_{name}{s}" for split in ("train", "test") for name in ("eer", "distance") for s in ("", "_best")]
metrics = {name: 0.1 + seed / 100 + len(method) / 1000 for name in names} | {"best_epoch": 1}
result = Result(settings=given, metrics=metrics, curves={"epoch": [1]}, timings={"seconds": 0.1}, environment={})
result.save(f"{out}/result.json")
"""


def notebook(path: Path, *sources: str, parameters: str = PARAMETERS) -> Path:
    """A notebook with a parameters cell and these cells."""
    book = nbformat.v4.new_notebook()
    book.cells = [nbformat.v4.new_code_cell(source) for source in (parameters, *sources)]
    book.cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(book, path)
    return path


def specification(folder: Path, methods=("none",), seeds=(0, 1), **more) -> Path:
    """tiny.yaml over n.ipynb."""
    content = {
        "name": "tiny",
        "title": "Tiny",
        "notebook": "n.ipynb",
        "preset": "smoke",
        "grid": {"method": list(methods)},
        "seeds": list(seeds),
    }
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(content | more, sort_keys=False))
    return path


def printed(sweep: Sweep, folder: Path, **options) -> tuple[bool, str]:
    """Run a sweep: whether all is done, and what was printed."""
    console = Console(record=True, width=140, file=io.StringIO())
    done = run_sweep(sweep, folder, console, Options(**options))
    return done, console.export_text()


def start(spec: Path, *options: str, **env: str) -> subprocess.Popen:
    """The command line, in a process of its own."""
    command = [sys.executable, "-m", "xmkd_lib.cli", "sweep", "run", str(spec), *options]
    return subprocess.Popen(
        command,
        cwd=spec.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **env},
    )


def statuses(folder: Path) -> dict[str, dict]:
    """Every run's status, by its folder's name."""
    return {file.parent.name: json.loads(file.read_text()) for file in folder.glob("*/status.json")}


def states(folder: Path) -> list[str]:
    """All states, sorted."""
    return sorted(status["state"] for status in statuses(folder).values())


def table(folder: Path) -> list[dict]:
    """The table of results without what may differ between two equal sweeps."""
    return pd.read_csv(folder / "results.csv", dtype=str).drop(columns="seconds").fillna("").to_dict("records")


def wait_for(condition, timeout: float = 180) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def family(pid: int) -> dict[str, list[psutil.Process]]:
    """The living processes of a sweep: workers, and kernels (a session of their own each)."""
    found: dict[str, list[psutil.Process]] = {"worker": [], "kernel": []}
    for process in psutil.Process(pid).children(recursive=True):
        try:
            line = " ".join(process.cmdline())
            if "xmkd_lib.sweep.worker" in line:
                found["worker"].append(process)
            elif os.getsid(process.pid) == process.pid:
                found["kernel"].append(process)
        except (psutil.Error, OSError):
            continue
    return found
