"""Sweeps over dask workers: those of a cluster that runs already, and those of `local:N`."""

import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from tiny import notebook, printed, specification, start, states, statuses, table, wait_for

import xmkd_lib
from xmkd_lib.errors import UserError
from xmkd_lib.records import Result
from xmkd_lib.sweep import Sweep, cluster

pytest.importorskip("distributed")

PARAMETERS = "seed: int = 0\nrate: float = 0.1\nout: str = ''\n"
# Each run says whether it found an earlier attempt's checkpoint, and waits as long as it is held.
BODY = """
import os, pathlib, time
pathlib.Path(out, "device").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", ""))
kept = pathlib.Path(out, "checkpoint", "kept")
pathlib.Path(out, "resumed").write_text(str(kept.exists()))
kept.parent.mkdir(exist_ok=True)
kept.touch()
place = next(path for path in pathlib.Path(out).parents if (path / "tiny.yaml").exists())
while (place / f"hold{seed}").exists():
    time.sleep(0.05)
with open(f"{out}/../ended.log", "a") as log:
    log.write(f"{seed}\\n")
"""
# A result as `Result` writes it, without importing the library, which takes seconds.
RESULT = """
import pathlib
place = next(path for path in pathlib.Path(out).parents if (path / "tiny.yaml").exists())
text = (place / "template.json").read_text()
pathlib.Path(out, "result.json").write_text(text.replace("0.5", f"0.{seed}"))
"""


class Dask:
    """A scheduler and workers as processes of their own, each in a session of its own."""

    def __init__(self, place: Path):
        self.place, self.file, self.processes = place, place / "scheduler.json", []

    def scheduler(self, port: int = 0) -> subprocess.Popen:
        """Start a scheduler; `address` is then known."""
        self.file.unlink(missing_ok=True)
        more = ("--host", "127.0.0.1", "--port", str(port), "--no-dashboard", "--scheduler-file", str(self.file))
        process = self._start("dask_scheduler", *more)
        wait_for(self.file.exists)
        return process

    def worker(self, *options: str, before: tuple[str, ...] = (), **env: str) -> subprocess.Popen:
        """Start a worker of one thread."""
        more = ("--scheduler-file", str(self.file), "--nthreads", "1", "--no-dashboard")
        return self._start("dask_worker", *more, *(options or ("--no-nanny",)), before=before, **env)

    def end(self, process: subprocess.Popen) -> None:
        """Kill a process and what it started in its session."""
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _start(self, what: str, *options: str, before: tuple[str, ...] = (), **env: str) -> subprocess.Popen:
        command = [*before, sys.executable, "-m", f"distributed.cli.{what}", *options]
        env = {**os.environ, "DASK_TEMPORARY_DIRECTORY": str(self.place), **env}
        with (self.place / "dask.log").open("ab") as log:
            process = subprocess.Popen(command, cwd=self.place, env=env, stdout=log, stderr=log, start_new_session=True)
        self.processes.append(process)
        return process


@pytest.fixture
def dask(tmp_path):
    found = Dask(tmp_path / "dask")
    found.place.mkdir()
    yield found
    for process in found.processes:
        found.end(process)


@pytest.fixture
def begin():
    """`start`, whose process does not outlive a test that fails."""
    begun = []
    yield lambda *what, **env: begun.append(start(*what, **env)) or begun[-1]
    for process in begun:
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    place = tmp_path_factory.mktemp("undisturbed")
    assert printed(Sweep.read(prepared(place)), place / "runs", workers=1)[0]
    return table(place / "runs")


def prepared(place: Path, *sources: str, hold=(), seeds=range(3), **more) -> Path:
    """A sweep of one condition; runs of the seeds to hold wait until their file is gone."""
    notebook(place / "n.ipynb", *(sources or (BODY,)), RESULT, parameters=PARAMETERS)
    Result(metrics={"test_loss": 0.5}).save(place / "template.json")
    for seed in hold:
        (place / f"hold{seed}").touch()
    return specification(place, seeds=seeds, grid={"rate": [0.1]}, metric="test_loss", preset="demo", **more)


def go(place: Path) -> None:
    """Let go of the runs that are held."""
    for path in place.glob("hold*"):
        path.unlink()


def files(folder: Path) -> dict[str, bytes]:
    """Every finished run's status file."""
    return {
        name: (folder / name / "status.json").read_bytes()
        for name, status in statuses(folder).items()
        if status["state"] == "ok"
    }


def by_seed(folder: Path) -> dict[int, dict]:
    return {status["seed"]: {**status, "home": folder / name} for name, status in statuses(folder).items()}


def at(folder: Path, seed: int) -> tuple[int, str] | None:
    """Attempt and state of a run; None where it has none at the moment."""
    status = by_seed(folder).get(seed)
    return status and (status["attempt"], status["state"])


def kill_worker(folder: Path, seed: int) -> None:
    """Kill the dask worker that executes a run; what ran below it must end by itself."""
    run = by_seed(folder)[seed]
    victim = psutil.Process(run["pid"])
    wait_for((run["home"] / "checkpoint" / "kept").exists)  # its kernel is at work
    below = victim.children(recursive=True)
    victim.kill()
    _, alive = psutil.wait_procs(below, timeout=20)
    assert not alive


def test_a_killed_worker_of_a_local_cluster(tmp_path, undisturbed, begin):
    path, folder = prepared(tmp_path, hold=[1, 2]), tmp_path / "runs" / "tiny"
    (tmp_path / "tmp").mkdir()
    process = begin(path, "--cluster", "local:2", TMPDIR=str(tmp_path / "tmp"), CUDA_VISIBLE_DEVICES="3,5")
    wait_for(lambda: states(folder) == ["ok", "running", "running"])
    everyone = psutil.Process(process.pid).children(recursive=True)
    before = files(folder)
    kill_worker(folder, 1)
    wait_for(lambda: at(folder, 1) == (2, "running"))
    assert at(folder, 2) == (1, "running"), "a run beside it goes on"
    go(tmp_path)
    output, _ = process.communicate(timeout=90)
    assert process.returncode == 0, output
    assert "[3/3]" in output
    assert "failed" not in output
    for noise in ("distributed", "Traceback", "tornado", "asyncio"):
        assert noise not in output
    assert files(folder).items() >= before.items()
    found = by_seed(folder)
    assert {seed: status["attempt"] for seed, status in found.items()} == {0: 1, 1: 2, 2: 1}
    assert (found[1]["home"] / "attempts" / "1" / "status.json").exists()
    assert {(found[seed]["home"] / "device").read_text() for seed in (1, 2)} == {"3", "5"}
    assert (found[1]["home"] / "resumed").read_text() == "True"
    assert table(folder) == undisturbed
    _, alive = psutil.wait_procs(everyone, timeout=20)
    assert not alive
    assert not [name for name in os.listdir(tmp_path / "tmp") if "dask" in name]
    assert not list(folder.glob(".shared-*"))


def test_a_cluster_that_shrinks_to_nothing_and_grows(tmp_path, dask, undisturbed):
    path, folder = prepared(tmp_path, hold=[1, 2]), tmp_path / "runs"
    dask.scheduler()
    dask.worker()
    with ThreadPoolExecutor() as pool:
        sweep = pool.submit(printed, Sweep.read(path), folder, cluster=str(dask.file))
        wait_for(lambda: states(folder) == ["ok", "running"])
        before = files(folder)
        kill_worker(folder, 1)
        time.sleep(2)
        assert sweep.running()
        dask.worker()
        dask.worker()
        wait_for(lambda: (at(folder, 1), at(folder, 2)) == ((2, "running"), (1, "running")))
        go(tmp_path)
        done, output = sweep.result(timeout=90)
    assert done
    assert "No dask worker is left: waiting for one." in output
    assert "A dask worker is there again." in output
    assert files(folder).items() >= before.items()
    assert table(folder) == undisturbed


KILLER = """
import os, psutil
if seed == 0:
    psutil.Process(os.getpid()).parent().parent().parent().kill()
"""


def test_a_run_that_kills_every_worker(tmp_path, begin):
    path, folder = prepared(tmp_path, KILLER), tmp_path / "runs" / "tiny"
    process = begin(path, "--cluster", "local:2", DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="1")
    output, _ = process.communicate(timeout=150)
    assert process.returncode == 1, output
    assert "killed: 2 dask workers died with it" in output
    assert "Traceback" not in output
    found = by_seed(folder)
    assert [found[seed]["state"] for seed in range(3)] == ["killed", "ok", "ok"]
    assert found[0]["attempt"] == 2
    assert "2 dask workers died with it" in found[0]["reason"]


def test_a_scheduler_that_dies(tmp_path, dask, undisturbed, begin):
    path, folder = prepared(tmp_path, hold=[1, 2]), tmp_path / "runs" / "tiny"
    scheduler = dask.scheduler()
    worker = dask.worker()
    process = begin(path, "--scheduler", str(dask.file))
    wait_for(lambda: states(folder) == ["ok", "running"])
    before = files(folder)
    dask.end(scheduler)
    output, _ = process.communicate(timeout=90)
    assert process.returncode == 2, output
    assert "The dask scheduler is gone. What is finished is kept" in " ".join(output.split())
    assert "Traceback" not in output
    dask.end(worker)
    go(tmp_path)
    dask.scheduler()
    dask.worker()
    _, output = printed(Sweep.read(path), folder, cluster=str(dask.file))
    assert "2 runs to do, 1 done before" in output
    assert files(folder).items() >= before.items()
    assert table(folder) == undisturbed


def test_sweeps_after_each_other_interrupted_and_killed(tmp_path, dask, undisturbed, begin):
    """One cluster: a parent that is killed, the same command, one that is interrupted, another sweep."""
    path, folder = prepared(tmp_path, hold=[0, 1, 2]), tmp_path / "runs" / "tiny"
    dask.scheduler()
    dask.worker()
    dask.worker("--nanny")
    first = begin(path, "--scheduler", str(dask.file))
    wait_for(lambda: states(folder) == ["running", "running"])
    first.kill()
    first.communicate()
    second = begin(path, "--scheduler", str(dask.file))
    wait_for(lambda: (at(folder, 0), at(folder, 1)) == ((2, "running"), (2, "running")))
    second.send_signal(signal.SIGINT)
    output, _ = second.communicate(timeout=60)
    assert second.returncode == 130, output
    assert "Traceback" not in output
    wait_for(lambda: states(folder) == ["killed", "killed"], timeout=20)
    other = prepared(tmp_path, name="other")
    go(tmp_path)
    assert printed(Sweep.read(other), tmp_path / "runs" / "other", cluster=str(dask.file))[0]
    assert table(tmp_path / "runs" / "other") == undisturbed
    _, output = printed(Sweep.read(prepared(tmp_path)), folder, cluster=str(dask.file))
    assert "To do: 2 killed, 1 missing" in output
    assert table(folder) == undisturbed
    assert sorted((folder / "ended.log").read_text().split()) == ["0", "1", "2"], "no run was done twice"


def test_unfit_workers_are_named(tmp_path, dask, monkeypatch):
    sweep, folder = Sweep.read(prepared(tmp_path)), tmp_path / "runs" / "tiny"
    dask.scheduler()
    monkeypatch.setattr(cluster, "WAIT_FOR_WORKERS", 2)
    with pytest.raises(UserError, match=r"scheduler\.json: the scheduler has no worker after 2 s.*dask worker"):
        printed(sweep, folder, cluster=str(dask.file))
    monkeypatch.setattr(cluster, "WAIT_FOR_WORKERS", 60)
    package = Path(xmkd_lib.__file__).parent
    shutil.copytree(package, tmp_path / "site" / "xmkd_lib", ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "site" / "xmkd_lib" / "sweep" / "words.py").open("a") as file:
        file.write("# another version\n")
    worker = dask.worker(PYTHONPATH=str(tmp_path / "site"))
    with pytest.raises(UserError, match=rf"dask worker of process {worker.pid} on .* runs other code of xmkd"):
        printed(sweep, folder, cluster=str(dask.file))
    dask.end(worker)
    (tmp_path / "site" / "xmkd_lib" / "sweep" / "cluster.py").unlink()
    worker = dask.worker(PYTHONPATH=str(tmp_path / "site"))
    with pytest.raises(UserError, match=r"cannot run xmkd \(.*No module named.*Install the same version"):
        printed(sweep, folder, cluster=str(dask.file))
    dask.end(worker)
    assert not statuses(folder)
    assert not list(folder.glob(".shared-*"))


def test_a_worker_that_does_not_see_the_folder(tmp_path, dask):
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs a user namespace to hide a folder")
    path, folder = prepared(tmp_path), tmp_path / "runs"
    folder.mkdir()
    dask.scheduler()
    hide = f'mount -t tmpfs tmpfs {folder} && exec "$@"'
    worker = dask.worker(before=("unshare", "-rm", "sh", "-c", hide, "drill"))
    host = os.uname().nodename
    with pytest.raises(UserError, match=rf"dask worker of process {worker.pid} on {host} does not see {folder}"):
        printed(Sweep.read(path), folder, cluster=str(dask.file))
    assert not statuses(folder)


def test_addresses_that_are_none(tmp_path, monkeypatch):
    path, folder = prepared(tmp_path), tmp_path / "runs" / "tiny"
    monkeypatch.setattr(cluster, "ANSWER_WITHIN", 1)
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "empty.json").write_text("{}")
    wrong = ["tcp://127.0.0.1:9", "nonsense", "tcp://", "tcp://no.such.host.invalid:8786"]
    for address in [*wrong, *(str(tmp_path / name) for name in ("missing.json", "broken.json", "empty.json"))]:
        begun = time.monotonic()
        with pytest.raises(UserError, match="no dask scheduler answers there"):
            printed(Sweep.read(path), folder, cluster=address)
        assert time.monotonic() - begun < 20
    with pytest.raises(UserError, match="write local:N"):
        printed(Sweep.read(path), folder, cluster="local:many")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError, match=r"optional: pip install distributed\. Without it, --workers"):
        printed(Sweep.read(path), folder, cluster="local:2")
