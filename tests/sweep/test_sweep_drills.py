"""Drills: what happens to a sweep whose processes, files, disk or clock fail. Nothing finished is lost or repeated,
nothing broken counts, and the final table equals the undisturbed one."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys

import psutil
import pytest
from tiny import RESULT, family, notebook, printed, specification, start, states, statuses, table, wait_for

from xmkd_lib.errors import UserError
from xmkd_lib.sweep import Sweep, read_runs

SLOW = "import time; time.sleep(0.4)"
COUNT = """
with open(f"{out}/../finished.log", "a") as log:
    log.write(f"{method} {seed}\\n")
"""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    place = tmp_path_factory.mktemp("undisturbed")
    notebook(place / "n.ipynb", SLOW, RESULT, COUNT)
    assert printed(Sweep.read(specification(place, ["none", "soft"], range(6))), place / "runs", workers=2)[0]
    return table(place / "runs")


def finished(folder):
    """Name and status file of every run that is ok."""
    return {name: status for name, status in statuses(folder).items() if status["state"] == "ok"}


def test_kills_at_20_random_moments(tmp_path, undisturbed):
    notebook(tmp_path / "n.ipynb", SLOW, RESULT, COUNT)
    path = specification(tmp_path, ["none", "soft"], range(6))
    folder, chance, seen, struck = tmp_path / "runs" / "tiny", random.Random(0), {}, []
    process = start(path, "--workers", "2", "--retry-failed", "9")
    while len(struck) < 20:
        whom = chance.choice(["worker", "kernel", "parent"])
        moment = chance.uniform(0, 1.5)
        wait_for(lambda process=process: process.poll() is not None or family(process.pid)["kernel"])
        if process.poll() is not None:  # all is done before 20 kills: start anew with all but what is finished
            assert finished(folder).items() >= seen.items()
            shutil.rmtree(folder)
            seen = {}
            process = start(path, "--workers", "2", "--retry-failed", "9")
            continue
        _, alive = psutil.wait_procs([psutil.Process(process.pid)], timeout=moment)
        if not alive:
            continue
        targets = [psutil.Process(process.pid)] if whom == "parent" else family(process.pid)[whom]
        if not targets:
            continue
        try:
            chance.choice(targets).kill()
        except psutil.NoSuchProcess:
            continue
        struck.append(whom)
        now = finished(folder)
        assert now.items() >= seen.items(), "a finished run was lost or repeated"
        seen = now
        if whom == "parent":
            process.communicate(timeout=60)
            process = start(path, "--workers", "2", "--retry-failed", "9")
    assert set(struck) == {"worker", "kernel", "parent"}
    process.communicate(timeout=120)
    assert printed(Sweep.read(path), folder)[0]
    assert finished(folder).items() >= seen.items()
    assert table(folder) == undisturbed
    lines = (folder / "finished.log").read_text().split("\n")[:-1]
    assert set(lines) == {f"{method} {seed}" for method in ("none", "soft") for seed in range(6)}


def test_a_killed_parent_leaves_no_process_and_its_runs_are_stale(tmp_path):
    notebook(tmp_path / "n.ipynb", "import time; time.sleep(600)", RESULT)
    folder = tmp_path / "runs" / "tiny"
    process = start(specification(tmp_path), "--workers", "2")
    wait_for(lambda: len(family(process.pid)["kernel"]) == 2)
    everyone = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(everyone, timeout=10)
    assert not alive
    assert states(folder) == ["running", "running"]
    command = [sys.executable, "-m", "xmkd_lib.cli", "sweep", "status", str(folder)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "2 stale" in told
    assert "Nothing is at work" in told
    notebook(tmp_path / "n.ipynb", RESULT)
    done, text = printed(Sweep.read(tmp_path / "tiny.yaml"), folder)
    assert done
    assert "To do: 2 stale" in text


def test_damaged_files_are_run_again_and_valid_ones_are_not(tmp_path):
    notebook(tmp_path / "n.ipynb", RESULT)
    path, folder = specification(tmp_path, seeds=range(9)), tmp_path / "runs"
    assert printed(Sweep.read(path), folder)[0]
    whole = table(folder)
    homes = [folder / run.name for run in Sweep.read(path).runs()]
    damage = [
        lambda home: (home / "status.json").write_text((home / "status.json").read_text()[:50]),
        lambda home: (home / "status.json").write_text(""),
        lambda home: (home / "status.json").write_text(json.dumps({"format": 99, "state": "ok"})),
        lambda home: (home / "result.json").write_text((home / "result.json").read_text()[:-1]),
        lambda home: (home / "result.json").write_text(""),
        lambda home: (home / "result.json").write_text((home / "result.json").read_text().replace("0.1", "0.2")),
        lambda home: (home / "result.json").unlink(),
        lambda home: shutil.rmtree(home),
    ]
    for home, harm in zip(homes, damage, strict=False):
        harm(home)
    assert [run.state for run in read_runs(folder)] == [*["invalid"] * 7, "queued", "ok"]
    valid = (homes[-1] / "status.json").stat().st_mtime_ns
    done, text = printed(Sweep.read(path), folder)
    assert done
    assert "8 runs to do, 1 done before. To do: 4 invalid, 3 damaged, 1 missing." in text
    assert (homes[-1] / "status.json").stat().st_mtime_ns == valid
    assert table(folder) == whole
    (folder / "plan.json").write_text("{")
    assert "0 runs to do, 9 done before" in printed(Sweep.read(path), folder)[1]


BACKWARDS = """
import time
_start, _real = time.time(), time.time
time.time = lambda: _start - 50 * (_real() - _start)
"""


def test_a_clock_that_runs_backwards(tmp_path, undisturbed):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(BACKWARDS)
    notebook(tmp_path / "n.ipynb", SLOW, RESULT, COUNT)
    path = specification(tmp_path, ["none", "soft"], range(6), timeout=60)
    folder = tmp_path / "runs" / "tiny"
    process = start(path, PYTHONPATH=os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")]))
    wait_for(lambda: len(finished(folder)) >= 3)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    kept = finished(folder)
    for name in kept:
        os.utime(folder / name / "result.json", (4e9, 4e9))
    output, _ = start(path).communicate(timeout=120)
    assert f"{len(kept)} done before" in output
    assert finished(folder).items() >= kept.items()
    assert table(folder) == undisturbed
    assert all(0 <= status["seconds"] < 60 for status in statuses(folder).values())


FULL = """
set -e
mount -t tmpfs -o size=700k tmpfs "$1"
run="{python} -m xmkd_lib.cli sweep run $2 --out $1/runs --workers 1"
$run > "$3/first.log" 2>&1 || echo "code $?" >> "$3/first.log"
find "$1/runs" -name status.json -exec grep -l '"state": "ok"' {{}} + | sort > "$3/kept.txt" || true
mount -o remount,size=50m "$1"
$run > "$3/second.log" 2>&1
cp "$1/runs/results.csv" "$3/results.csv"
"""


def test_a_full_disk_stops_the_sweep_and_loses_nothing(tmp_path):
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs a user namespace to mount a small file system")
    fill = "open(f'{out}/ballast', 'wb').write(bytes(120_000))"
    notebook(tmp_path / "n.ipynb", fill, RESULT)
    path, disk = specification(tmp_path, seeds=range(8)), tmp_path / "disk"
    disk.mkdir()
    script = FULL.format(python=sys.executable)
    subprocess.run(["unshare", "-rm", "sh", "-c", script, "drill", disk, path, tmp_path], check=True, timeout=180)
    first = (tmp_path / "first.log").read_text()
    assert "No space left on device" in first
    assert "Traceback" not in first
    assert "code" in first
    kept = (tmp_path / "kept.txt").read_text().split()
    assert 1 <= len(kept) < 8
    second = (tmp_path / "second.log").read_text()
    assert f"{8 - len(kept)} runs to do, {len(kept)} done before" in second
    assert len((tmp_path / "results.csv").read_text().splitlines()) == 9


def test_a_folder_that_becomes_unwritable_stops_the_sweep(tmp_path, monkeypatch):
    notebook(tmp_path / "n.ipynb", RESULT)
    folder = tmp_path / "runs"
    sweep = Sweep.read(specification(tmp_path))
    for run in sweep.runs():
        folder.mkdir(exist_ok=True)
        (folder / run.name).write_text("a file where the run's folder belongs")
    with pytest.raises(UserError, match=r"cannot be written .*the same command goes on"):
        printed(sweep, folder)
