"""Sweeps executed for real: notebooks, worker processes, failures, interruption, resumption."""

import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pandas as pd
import psutil
import pytest
import yaml
from rich.console import Console

from xmkd_lib.records import Result
from xmkd_lib.sweep import Sweep
from xmkd_lib.sweep.live import run_sweep

BROKEN = """
if method == "hard_feature":
    raise RuntimeError("a planted failure [with brackets]")
if method == "soft_feature":
    import os, signal
    os.kill(os.getppid(), signal.SIGKILL)  # the worker
"""
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

settings = {"dataset": dataset, "method": method, "seed": seed}
names = [f"{split}_{name}{s}" for split in ("train", "test") for name in ("eer", "distance") for s in ("", "_best")]
metrics = {name: 0.1 + seed / 100 for name in names} | {"best_epoch": 1}
result = Result(settings=settings, metrics=metrics, curves={"epoch": [1]}, timings={"seconds": 0.1}, environment={})
result.save(f"{out}/result.json")
"""


def notebook(path, *sources):
    book = nbformat.v4.new_notebook()
    for source in (PARAMETERS, *sources):
        book.cells.append(nbformat.v4.new_code_cell(source))
    book.cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(book, path)


def specification(folder, methods, seeds, **more):
    content = {
        "name": "tiny",
        "title": "Tiny",
        "notebook": "n.ipynb",
        "preset": "smoke",
        "grid": {"method": methods},
        "seeds": seeds,
    }
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(content | more))
    return path


def printed(sweep, folder, **kwargs):
    console = Console(record=True, width=120, file=io.StringIO())
    done = run_sweep(sweep, folder, console, **kwargs)
    return done, console.export_text()


@pytest.fixture(scope="module")
def real(tmp_path_factory, repository):
    """The shipped notebook in the smoke preset: two methods, two seeds."""
    place = tmp_path_factory.mktemp("real")
    path = specification(
        place, ["none", "soft_feature"], [0, 1], notebook=str(repository / "notebooks" / "05_experiment.ipynb")
    )
    sweep, folder = Sweep.read(path), place / "runs"
    return sweep, folder, *printed(sweep, folder)


def test_every_run_leaves_a_whole_folder(real):
    sweep, folder, done, text = real
    assert done
    assert "[4/4]" in text
    assert "left" in text
    assert "soft_feature" in text
    for run in sweep.runs():
        home = folder / run.name
        assert json.loads((home / "status.json").read_text())["state"] == "ok"
        result = Result.load(home / "result.json")
        assert result.settings == run.experiment.model_dump(mode="json")
        executed = nbformat.read(home / "notebook.ipynb", 4)
        assert any("image/png" in o.get("data", {}) for cell in executed.cells for o in cell.get("outputs", []))
        assert (home / "figures" / "training.png").stat().st_size > 5000
        assert (home / "checkpoint" / "student_best.safetensors").exists()


def test_the_table_has_the_promised_columns(real):
    frame = pd.read_csv(real[1] / "results.csv")
    needed = ["train_eer", "test_eer", "train_distance", "test_distance"]
    assert list(frame.columns[:3]) == ["method", "seed", "seconds"]
    assert {*needed, *(f"{name}_best" for name in needed)} <= set(frame.columns)
    assert len(frame) == 4
    assert frame[needed].notna().all().all()


def test_the_report_is_one_page_that_says_synthetic(real):
    page = (real[1] / "report.html").read_text()
    assert "synthetic" in page.lower()
    assert "data:image/svg+xml" in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_a_second_call_skips_what_is_done_and_a_damaged_result_is_run_again(real):
    sweep, folder, *_ = real
    untouched, damaged = (folder / run.name / "result.json" for run in sweep.runs()[:2])
    before = untouched.stat().st_mtime_ns
    _, text = printed(sweep, folder)
    assert "0 runs to do, 4 done before" in text
    expected = Result.load(damaged).metrics
    damaged.write_text(damaged.read_text()[:100])
    _, text = printed(sweep, folder)
    assert "1 runs to do, 3 done before" in text
    assert untouched.stat().st_mtime_ns == before
    assert Result.load(damaged).metrics == expected, "bit for bit"


def test_failures_and_dead_workers_fail_their_run_alone(tmp_path):
    notebook(tmp_path / "n.ipynb", BROKEN, RESULT)
    sweep = Sweep.read(specification(tmp_path, ["hard_feature", "soft_feature", "none", "soft"], [0, 1]))
    done, text = printed(sweep, tmp_path / "runs", workers=2)
    assert not done
    states = {
        run.name.split("-")[0]: json.loads((tmp_path / "runs" / run.name / "status.json").read_text())
        for run in sweep.runs()
    }
    assert {name: status["state"] for name, status in states.items()} == {
        "hard_feature": "failed", "soft_feature": "failed", "none": "ok", "soft": "ok",
    }  # fmt: skip
    assert states["hard_feature"]["reason"] == "RuntimeError: a planted failure [with brackets]"
    assert "ended by signal 9" in states["soft_feature"]["reason"]
    assert "4 of 8 runs failed" in text
    assert "a planted failure [with brackets]" in text
    assert len(pd.read_csv(tmp_path / "runs" / "results.csv")) == 4
    assert "planted failure" in (tmp_path / "runs" / "report.html").read_text()


def test_a_notebook_that_writes_no_result_or_nan_has_failed(tmp_path):
    notebook(tmp_path / "n.ipynb", RESULT + "\nif seed:\n    import pathlib; pathlib.Path(out, 'result.json').unlink()")
    sweep = Sweep.read(specification(tmp_path, ["none"], [0, 1]))
    done, text = printed(sweep, tmp_path / "runs", workers=1)
    assert not done
    assert "result.json: no such file" in text.replace("\n", "")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_interruption_keeps_what_is_finished_and_leaves_no_process(tmp_path, how):
    notebook(tmp_path / "n.ipynb", "if seed == 1:\n    import time; time.sleep(600)", RESULT)
    path = specification(tmp_path, ["none", "soft"], [0, 1])
    command = [sys.executable, "-m", "xmkd_lib.cli", "sweep", "run", str(path), "--workers", "2"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    folder = tmp_path / "runs" / "tiny"
    states = wait_for(folder, {"ok": 2, "running": 2})
    family = wait_for_children(process.pid, 4)  # two workers and their kernels, which start after the status is written
    process.send_signal(how)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Finished runs are kept" in output
    assert "Traceback" not in output
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive
    states = [json.loads(file.read_text())["state"] for file in folder.glob("*/status.json")]
    assert sorted(states) == ["killed", "killed", "ok", "ok"]
    assert len(pd.read_csv(folder / "results.csv")) == 2


def wait_for(folder: Path, wanted: dict[str, int], timeout: float = 90) -> dict[str, int]:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        states = [json.loads(file.read_text())["state"] for file in folder.glob("*/status.json")]
        if all(states.count(state) == count for state, count in wanted.items()):
            return wanted
        time.sleep(0.1)
    raise AssertionError(f"never reached {wanted}, last seen {states}")


def wait_for_children(pid: int, count: int, timeout: float = 60) -> list[psutil.Process]:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        family = psutil.Process(pid).children(recursive=True)
        if len(family) >= count:
            return family
        time.sleep(0.1)
    raise AssertionError(f"never had {count} children, last seen {family}")


def test_a_sweep_never_waits_for_a_run_that_could_not_start(tmp_path):
    notebook(tmp_path / "n.ipynb", RESULT)
    sweep = Sweep.read(specification(tmp_path, ["none"], [0, 1]))
    (tmp_path / "runs" / "workers.log").mkdir(parents=True)
    done, text = printed(sweep, tmp_path / "runs")
    assert not done
    assert "IsADirectoryError" in text
    assert "2 of 2 runs failed" in text
