"""What a sweep says of itself: plan, live lines, status from another terminal; and its small parts."""

import json
import os
import re
import subprocess
import sys
import time

import nbformat
import psutil
import pytest
from rich.console import Console
from tiny import RESULT, notebook, printed, specification, start, states, wait_for

from xmkd_lib.errors import UserError
from xmkd_lib.records import Result
from xmkd_lib.sweep import Sweep
from xmkd_lib.sweep.attempt import Outcome
from xmkd_lib.sweep.contract import violation
from xmkd_lib.sweep.folder import Status, archive, finished, read_status, result_digest, write_status
from xmkd_lib.sweep.marks import SEAT, end_marked
from xmkd_lib.sweep.owner import owner, owning
from xmkd_lib.sweep.progress import progress
from xmkd_lib.sweep.timing import recall, remember
from xmkd_lib.sweep.view import View


def xmkd(*arguments, cwd):
    command = [sys.executable, "-m", "xmkd_lib.cli", "sweep", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=cwd)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


PROGRESS = """
import json, pathlib, time
told = {"epoch": 3, "epochs": 9, "metrics": {"val_eer": 0.25}}
pathlib.Path(out, "progress.json").write_text(json.dumps(told))
if seed == 1:
    raise ValueError("of [seed] 1")
if seed == 2:
    time.sleep(600)
"""


def test_status_from_another_terminal(tmp_path):
    notebook(tmp_path / "n.ipynb", PROGRESS, RESULT)
    process = start(specification(tmp_path, seeds=range(4)), "--workers", "1")
    folder = tmp_path / "runs" / "tiny"
    wait_for(lambda: states(folder) == ["failed", "ok", "running"] and len(list(folder.glob("*2-*/progress.json"))))
    code, text = xmkd("status", folder, cwd=tmp_path)
    assert code == 0
    assert "Tiny: 1 of 4 runs done; 1 failed, 1 running, 1 queued, about" in text
    assert f"At work: process {process.pid} on {os.uname().nodename}." in text
    assert re.search(r"none-seed2-\w+ \d+ s, epoch 3 of 9, val_eer 0.250", text)
    assert re.search(r"none-seed1-\w+ failed: ValueError: of \[seed\] 1", text)
    process.terminate()
    process.communicate(timeout=60)
    code, text = xmkd("status", folder, "--watch", cwd=tmp_path)
    assert (code, "Nothing is at work in this folder." in text) == (0, True)
    assert xmkd("status", tmp_path / "nowhere", cwd=tmp_path)[0] == 2


def test_a_dry_run_starts_nothing_and_estimates_from_what_was_timed(tmp_path, monkeypatch):
    monkeypatch.setenv("XMKD_CACHE", str(tmp_path / "cache"))
    notebook(tmp_path / "n.ipynb", RESULT)
    path = specification(tmp_path, ["none", "soft"], range(30))
    code, text = xmkd("run", path, "--dry-run", cwd=tmp_path)
    assert code == 0
    assert "2 conditions × 30 seeds = 60 runs of n.ipynb, preset smoke" in text
    assert "... and 20 more" in text
    assert "No such run has been timed on this machine yet" in text
    assert not (tmp_path / "runs").exists()
    remember(Sweep.read(path), [9.0, 10.0, 400.0])
    assert recall(Sweep.read(path)) == 10.0
    text = xmkd("run", path, "--dry-run", "--workers", "4", cwd=tmp_path)[1]
    assert "60 runs to do, 4 at a time: about 2 min 30 s, at 10 s a run." in text
    assert printed(Sweep.read(path), tmp_path / "runs" / "tiny", workers=2)[0]
    assert "Nothing is to do" in xmkd("run", path, "--dry-run", cwd=tmp_path)[1]
    text = xmkd("run", path, "--dry-run", "--force", cwd=tmp_path)[1]
    assert re.search(r"60 runs to do, 2 at a time: about \d+", text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--accept-changed", "--rerun-changed"], "exclude each other"),
        (["--scheduler", "tcp://127.0.0.1:1", "--cluster", "local:2"], "exclude each other"),
        (["--cluster", "four"], "write local:N"),
        (["--cluster", "local:none"], "such as local:4"),
        (["--runs-per-gpu", "2"], "no CUDA device"),
        (["--timeout", "0"], "timeout"),
        (["--preset", "huge"], "Unknown preset"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_anything_runs(tmp_path, monkeypatch, options, message):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    notebook(tmp_path / "n.ipynb", RESULT)
    code, text = xmkd("run", specification(tmp_path), *options, cwd=tmp_path)
    assert code == 2
    assert message in text
    assert "Traceback" not in text
    assert not states(tmp_path / "runs" / "tiny")


def test_the_live_view_of_a_terminal(tmp_path):
    console = Console(force_terminal=True, width=120, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "progress.json").write_text(json.dumps({"stage": "teacher"}))
    with View(console, tmp_path, 3) as view:
        view.tick(["b"])
        view.finished(Outcome("a", "failed", "ValueError: [bold]no", 1.0), again=True)
        view.finished(Outcome("a", "timeout", "took longer than 3 s", 3.0), again=False)
        view.tick(["b"])
    text = console.export_text()
    console.file.close()
    assert "ValueError: [bold]no (to be tried again)" in text
    assert "[1/3] a  3 s  timeout: took longer than 3 s" in text
    assert re.search(r"b +0 s +teacher", text)
    assert "1 failed" in text
    assert (view.ended, view.failed, view.seconds) == (1, 1, [])


def test_a_plain_view_breaks_its_silence(tmp_path, monkeypatch):
    console = Console(width=120, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    with View(console, tmp_path, 3) as view:
        monkeypatch.setattr("xmkd_lib.sweep.view.SILENCE", 0.0)
        time.sleep(0.01)
        view.tick(["long-run"])
    assert "under way: long-run" in console.export_text()
    console.file.close()


def test_progress_is_forgiving(tmp_path):
    assert progress(tmp_path) == ""
    (tmp_path / "progress.json").write_text(json.dumps({"epoch": 2, "epochs": 4, "metrics": {"loss": 1.0}}))
    assert progress(tmp_path) == "epoch 2 of 4, loss 1.000"


def a_result(run):
    run.mkdir(exist_ok=True)
    Result(metrics={"m": 1.0}).save(run / "result.json")
    write_status(run, Status(state="ok", seed=0, attempt=1, result=result_digest(run)))


def test_a_result_counts_by_its_digest_and_an_archive_keeps_it(tmp_path):
    run = tmp_path / "run"
    assert finished(run) is None
    a_result(run)
    assert finished(run).seed == 0
    (run / ".status.json.x1").touch()
    (run / "checkpoint").mkdir()
    assert archive(run, keep_checkpoint=True) == 2
    assert sorted(path.name for path in run.iterdir()) == ["attempts", "checkpoint"]
    assert finished(run / "attempts" / "1").seed == 0
    assert archive(run, keep_checkpoint=False) == 2, "nothing was left since"
    assert not (run / "checkpoint").exists()
    a_result(run)
    (run / "result.json").write_bytes((run / "result.json").read_bytes() + b" ")
    assert finished(run) is None
    (run / "result.json").unlink()
    write_status(run, Status(state="ok"))
    assert finished(run) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1, "state": "ok"}', '{"format": 2, "state": "fine"}'])
def test_a_status_of_another_kind_is_refused(tmp_path, text):
    (tmp_path / "status.json").write_text(text)
    with pytest.raises(UserError, match=r"status\.json"):
        read_status(tmp_path)
    assert finished(tmp_path) is None


def test_one_owner_at_a_time(tmp_path):
    assert owner(tmp_path) is None
    with owning(tmp_path):
        assert owner(tmp_path)["pid"] == os.getpid()
        with pytest.raises(UserError, match=f"process {os.getpid()} on"), owning(tmp_path):
            pass
        told = json.loads((tmp_path / "owner.json").read_text())
    assert owner(tmp_path) is None
    (tmp_path / "owner.json").write_text(json.dumps(told | {"age": told["age"] - 5}))
    assert owner(tmp_path) is None, "another process with that number"
    (tmp_path / "owner.json").write_text(json.dumps(told | {"host": "elsewhere"}))
    assert owner(tmp_path)["host"] == "elsewhere"
    for pid in ("7", -1, 10**30, [1]):
        (tmp_path / "owner.json").write_text(json.dumps(told | {"pid": pid}))
        assert owner(tmp_path) is None, pid
    (tmp_path / "owner.json").write_text("{")
    assert owner(tmp_path) is None


def test_marked_processes_are_found_whoever_their_parent_is():
    program = "import subprocess, sys; print(subprocess.Popen(['sleep', '600'], stdout=-3).pid, flush=True)"
    command = [sys.executable, "-c", program]
    orphan = subprocess.run(
        command, env={**os.environ, SEAT: "one"}, stdout=subprocess.PIPE, text=True, check=True, timeout=60
    )
    pid = int(orphan.stdout)
    end_marked(SEAT, "another")
    assert psutil.pid_exists(pid)
    end_marked(SEAT, "one")
    wait_for(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_the_contract_reads_errors_in_cells_and_nested_widgets(tmp_path):
    a_result(tmp_path)
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1"), nbformat.v4.new_markdown_cell("a")])
    assert violation(book, tmp_path, ["m"], [], {}) is None
    error = {"output_type": "error", "ename": "E", "evalue": "why\nmore", "traceback": []}
    state = {"a": {"state": {}}, "b": {"state": {"outputs": [error]}}}
    book.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": state}}
    assert violation(book, tmp_path, ["m"], [], {}) == "an error in a widget: E: why"
    book.cells[0].outputs = [nbformat.from_dict(error)]
    assert violation(book, tmp_path, ["m"], [], {}) == "an error in a cell: E: why"
