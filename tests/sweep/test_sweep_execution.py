"""Sweeps executed for real: notebooks, worker processes, what counts as ok, resumption."""

import json
import os
import signal
import subprocess
import sys

import nbformat
import pandas as pd
import psutil
import pytest
from tiny import PARAMETERS, RESULT, family, notebook, printed, specification, start, states, statuses, table, wait_for

from xmkd_lib.errors import UserError
from xmkd_lib.records import Result
from xmkd_lib.sweep import Sweep


@pytest.fixture(scope="module")
def real(tmp_path_factory, repository):
    """The shipped notebook in the smoke preset: two methods, two seeds."""
    place = tmp_path_factory.mktemp("real")
    shipped = str(repository / "notebooks" / "05_experiment.ipynb")
    path = specification(place, ["none", "soft_feature"], notebook=shipped, figures=["training.png"])
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
        status = json.loads((home / "status.json").read_text())
        assert (status["state"], status["attempt"]) == ("ok", 1)
        assert status["peak_memory"] is None or status["peak_memory"] > 1e7
        result = Result.load(home / "result.json")
        assert result.settings == status["settings"] == sweep.full_settings(run)
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
    untouched, damaged = (folder / run.name / "result.json" for run in list(sweep.runs())[:2])
    before = untouched.stat().st_mtime_ns
    _, text = printed(sweep, folder)
    assert "0 runs to do, 4 done before" in text
    expected = Result.load(damaged).metrics
    damaged.write_text(damaged.read_text()[:100])
    _, text = printed(sweep, folder)
    assert "1 runs to do, 3 done before. To do: 1 invalid." in text
    assert untouched.stat().st_mtime_ns == before
    assert Result.load(damaged).metrics == expected, "bit for bit"
    assert (damaged.parent / "attempts" / "1" / "result.json").stat().st_size == 100
    assert statuses(folder)[damaged.parent.name]["attempt"] == 2


def test_a_forked_kernel_and_an_ordinary_one_give_the_same_numbers(real, tmp_path, monkeypatch, repository):
    (tmp_path / "kernels" / "plain").mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel = {"argv": argv, "display_name": "plain", "language": "python"}
    (tmp_path / "kernels" / "plain" / "kernel.json").write_text(json.dumps(kernel))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    book = nbformat.read(repository / "notebooks" / "05_experiment.ipynb", 4)
    book.metadata.kernelspec.name = "plain"
    nbformat.write(book, tmp_path / "n.ipynb")
    done, _ = printed(Sweep.read(specification(tmp_path, ["none", "soft_feature"])), tmp_path / "runs")
    assert done
    assert table(tmp_path / "runs") == table(real[1])


BROKEN = {
    "raise RuntimeError('a planted failure [with brackets]')": (
        "failed",
        "RuntimeError: a planted failure [with brackets]",
    ),
    "import os; os.kill(os.getpid(), 9)": ("killed", "the kernel ended by signal 9 (SIGKILL)"),
    "import os; os._exit(3)": ("killed", "the kernel ended with exit code 3"),
    "bytearray(10**15)": ("failed", "out of memory: MemoryError"),
    "raise RuntimeError('CUDA out of memory. Tried to allocate 2 GiB')": (
        "failed",
        "out of memory: RuntimeError: CUDA",
    ),
    "import time; time.sleep(600)": ("timeout", "took longer than 25 s"),
    "held = []\nwhile True: held.append(bytes([1]) * 50_000_000)": ("failed", "out of memory: held"),
    "import os, psutil; psutil.Process(os.getpid()).parent().parent().kill()": (
        "killed",
        "the worker process ended by signal 9",
    ),
    "import pathlib; pathlib.Path(out, 'result.json').unlink()": ("invalid", "result.json: no such file"),
    "import pathlib; pathlib.Path(out, 'result.json').write_text('')": ("invalid", "result.json: no valid JSON"),
    "import pathlib; p = pathlib.Path(out, 'result.json'); p.write_text(p.read_text().replace(': 1.0', ': NaN'))": (
        "invalid",
        "not finite: best_epoch",
    ),
    "del result.metrics['test_eer']; result.save(f'{out}/result.json')": ("invalid", "has no metric 'test_eer'"),
    "result.settings['seed'] = 9; result.save(f'{out}/result.json')": ("invalid", "was made with seed = 9"),
    "import ipywidgets\nbox = ipywidgets.Output()\nwith box:\n    1 / 0\nbox": (
        "invalid",
        "an error in a widget: ZeroDivisionError: division by zero",
    ),
    "import ipywidgets\nipywidgets.interact(lambda x: 1 / x, x=0)": (
        "invalid",
        "an error in a widget: ZeroDivisionError: division by zero",
    ),
    "import pathlib; pathlib.Path(out, 'figures', 'f.png').write_bytes(b'')": ("invalid", "f.png: is missing or empty"),
    "import pathlib; p = pathlib.Path(out, 'figures', 'f.png'); p.write_bytes(p.read_bytes()[:60])": (
        "invalid",
        "f.png: is no whole image",
    ),
}
FIGURE = """
import pathlib, PIL.Image
pathlib.Path(out, "figures").mkdir()
PIL.Image.new("RGB", (64, 64), (200, 30, 30)).save(f"{out}/figures/f.png")
"""


def test_what_breaks_the_contract_never_counts(tmp_path):
    body = "\n".join(f"if zoom == {place}:\n    exec({code!r})" for place, code in enumerate(BROKEN))
    notebook(tmp_path / "n.ipynb", RESULT, FIGURE, body, parameters=PARAMETERS + "zoom: int = -1\n")
    grid = {"method": ["none"], "zoom": [*range(len(BROKEN)), -1]}
    path = specification(tmp_path, seeds=[0], grid=grid, figures=["f.png"], timeout=25, memory_gb=2)
    sweep = Sweep.read(path)
    done, text = printed(sweep, tmp_path / "runs", workers=2)
    assert not done
    found = statuses(tmp_path / "runs")
    by_zoom = {run.chosen["zoom"]: found[run.name] for run in sweep.runs()}
    for place, (code, (state, reason)) in enumerate(BROKEN.items()):
        assert by_zoom[place]["state"] == state, (code, by_zoom[place]["reason"])
        assert reason in by_zoom[place]["reason"], code
        assert reason in text.replace("\n", ""), code
    assert by_zoom[-1]["state"] == "ok"
    assert len(pd.read_csv(tmp_path / "runs" / "results.csv")) == 1
    page = (tmp_path / "runs" / "report.html").read_text()
    assert "a planted failure" in page
    _, text = printed(sweep, tmp_path / "runs", workers=2, max_failures=1)
    assert "17 runs to do, 1 done before. To do: 9 invalid, 4 failed, 3 killed, 1 timeout." in text
    assert "runs were not started" in text


LARGE = {
    "text": "line = 'x' * 1000\nfor _ in range(10**6): print(line)",
    "html": "from IPython.display import HTML, display\nfor _ in range(3): display(HTML('<p>' * 8_000_000))",
    "json": "from IPython.display import JSON, display\nfor _ in range(3): display(JSON({'a': ['b'] * 5_000_000}))",
}


@pytest.mark.parametrize("kind", LARGE)
def test_a_giant_output_is_cut_and_the_run_is_fine(tmp_path, kind):
    notebook(tmp_path / "n.ipynb", LARGE[kind], RESULT)
    done, _ = printed(Sweep.read(specification(tmp_path, seeds=[0])), tmp_path / "runs", workers=1)
    assert done
    (executed,) = (tmp_path / "runs").glob("*/notebook.ipynb")
    assert executed.stat().st_size < 40e6
    assert "Output beyond 20,000,000 characters is left out" in executed.read_text()


FLAKY = """
import pathlib
marker = pathlib.Path(out).parent / f"seen{seed}"
if not marker.exists():
    marker.touch()
    1 / 0
"""


def test_a_failed_run_is_tried_again_when_asked(tmp_path):
    notebook(tmp_path / "n.ipynb", FLAKY, RESULT)
    done, text = printed(Sweep.read(specification(tmp_path)), tmp_path / "runs", workers=1, retry_failed=1)
    assert done
    assert text.count("to be tried again") == 2
    assert states(tmp_path / "runs") == ["ok", "ok"]
    assert len(list((tmp_path / "runs").glob("*/attempts/1/notebook.ipynb"))) == 2


def test_force_and_changed_notebooks(tmp_path):
    notebook(tmp_path / "n.ipynb", RESULT)
    path, folder = specification(tmp_path), tmp_path / "runs"
    assert printed(Sweep.read(path), folder)[0]
    _, text = printed(Sweep.read(path), folder, force=True)
    assert "2 runs to do, 0 done before" in text
    notebook(tmp_path / "n.ipynb", RESULT, "# a second thought")
    before = {name: status["attempt"] for name, status in statuses(folder).items()}
    with pytest.raises(UserError, match=r"2 finished runs were made by other code .*--accept-changed.*--rerun-changed"):
        printed(Sweep.read(path), folder)
    assert {name: status["attempt"] for name, status in statuses(folder).items()} == before
    _, text = printed(Sweep.read(path), folder, accept_changed=True)
    assert "0 runs to do, 2 done before" in text
    _, text = printed(Sweep.read(path), folder, rerun_changed=True)
    assert "2 runs to do, 0 done before" in text
    assert {status["attempt"] for status in statuses(folder).values()} == {3}
    assert "0 runs to do, 2 done before" in printed(Sweep.read(path), folder)[1]


def test_results_stay_until_a_run_that_replaces_them_has_begun(tmp_path, monkeypatch):
    notebook(tmp_path / "n.ipynb", RESULT)
    path, folder = specification(tmp_path), tmp_path / "runs"
    assert printed(Sweep.read(path), folder)[0]
    before = table(folder)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    for wrong in ({"runs_per_gpu": 1}, {"cluster": "tcp://127.0.0.1:1"}):
        with pytest.raises(UserError):
            printed(Sweep.read(path), folder, force=True, **wrong)
        assert states(folder) == ["ok", "ok"]
    assert table(folder) == before


def test_a_notebook_that_is_edited_meanwhile_changes_nothing(tmp_path):
    edit = "import pathlib\nbook = pathlib.Path(out).parents[1] / 'n.ipynb'\nbook.write_text('no notebook any more')\n"
    notebook(tmp_path / "n.ipynb", edit, RESULT)
    sweep = Sweep.read(specification(tmp_path, seeds=range(3)))
    assert printed(sweep, tmp_path / "runs", workers=1)[0]
    assert {status["notebook"] for status in statuses(tmp_path / "runs").values()} == {sweep.notebook_file.digest}


def test_a_kernel_that_is_not_there_is_said_before_anything_runs(tmp_path):
    book = nbformat.read(notebook(tmp_path / "n.ipynb", RESULT), 4)
    book.metadata["kernelspec"] = {"name": "python4", "display_name": "Python 4", "language": "python"}
    nbformat.write(book, tmp_path / "n.ipynb")
    with pytest.raises(UserError, match="Unknown kernel 'python4'"):
        printed(Sweep.read(specification(tmp_path)), tmp_path / "runs")
    assert not states(tmp_path / "runs")


def test_a_long_path_for_temporary_files(tmp_path):
    (tmp_path / ("t" * 100)).mkdir()
    notebook(tmp_path / "n.ipynb", RESULT)
    process = start(specification(tmp_path, seeds=[0]), TMPDIR=str(tmp_path / ("t" * 100)))
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output


@pytest.mark.parametrize("name", ["plan.json", "report.html", "results.csv", "owner.json", ".lock"])
def test_folders_in_the_place_of_files_are_named(tmp_path, name):
    notebook(tmp_path / "n.ipynb", RESULT)
    (tmp_path / "runs" / "tiny" / name).mkdir(parents=True)
    output, _ = (process := start(specification(tmp_path, seeds=[0]))).communicate(timeout=120)
    assert process.returncode == 2
    assert "Traceback" not in output
    assert name in output.replace("\n", "")


def test_output_that_nobody_takes_is_no_traceback(tmp_path):
    notebook(tmp_path / "n.ipynb", RESULT)
    path = specification(tmp_path, seeds=[0])
    for target in ("| head -0", "> /dev/full"):
        command = f"{sys.executable} -m xmkd_lib.cli sweep run {path} --dry-run {target}"
        found = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60, check=False)
        assert "Traceback" not in found.stderr
    command = [sys.executable, "-m", "xmkd_lib.cli", "sweep", "run", str(path), "--dry-run"]
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=env)
    assert found.returncode == 0, found.stderr


def test_a_users_own_notebook(tmp_path):
    own = "seed: int = 0\nrate: float = 0.1\nout: str = ''\n"
    body = "from xmkd_lib.records import Result\nResult(metrics={'test_loss': rate + seed}).save(f'{out}/result.json')"
    notebook(tmp_path / "n.ipynb", body, parameters=own)
    path = specification(tmp_path, grid={"rate": [0.1, 0.2]}, metric="test_loss", preset="demo")
    done, text = printed(Sweep.read(path), tmp_path / "runs")
    assert done
    assert "test_loss 0.100" in text
    frame = pd.read_csv(tmp_path / "runs" / "results.csv")
    assert list(zip(frame.rate, frame.seed, frame.test_loss, strict=True)) == [
        (0.1, 0, 0.1), (0.1, 1, 1.1), (0.2, 0, 0.2), (0.2, 1, 1.2),
    ]  # fmt: skip


SEEN = """
import os, pathlib, time
time.sleep(1)
pathlib.Path(out, "seen").write_text(os.environ["CUDA_VISIBLE_DEVICES"] + os.environ["OMP_NUM_THREADS"])
"""


def test_threads_and_devices_are_assigned(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    notebook(tmp_path / "n.ipynb", SEEN, RESULT)
    path = specification(tmp_path, seeds=range(4), threads=3)
    assert printed(Sweep.read(path), tmp_path / "runs", runs_per_gpu=2)[0]
    assert sorted(file.read_text() for file in (tmp_path / "runs").glob("*/seen")) == ["33", "33", "53", "53"]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_interruption_keeps_what_is_finished_and_leaves_no_process(tmp_path, how):
    notebook(tmp_path / "n.ipynb", "if seed == 1:\n    import time; time.sleep(600)", RESULT)
    process = start(specification(tmp_path, ["none", "soft"]), "--workers", "2")
    folder = tmp_path / "runs" / "tiny"
    wait_for(lambda: states(folder) == ["ok", "ok", "running", "running"])
    wait_for(lambda: len(family(process.pid)["kernel"]) == 2)
    everyone = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(how)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "Finished runs are kept" in output
    assert "Traceback" not in output
    _, alive = psutil.wait_procs(everyone, timeout=10)
    assert not alive
    assert states(folder) == ["killed", "killed", "ok", "ok"]
    assert len(pd.read_csv(folder / "results.csv")) == 2


def test_two_sweeps_in_one_folder(tmp_path):
    notebook(tmp_path / "n.ipynb", "import time; time.sleep(600)", RESULT)
    path = specification(tmp_path, seeds=[0])
    first = start(path)
    wait_for(lambda: states(tmp_path / "runs" / "tiny") == ["running"])
    second = start(path)
    output, _ = second.communicate(timeout=60)
    assert second.returncode == 2
    assert f"process {first.pid} on {os.uname().nodename}" in " ".join(output.split())
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=60)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    notebook(tmp_path / "n.ipynb", RESULT)
    (tmp_path / "runs").write_text("a file")
    process = start(specification(tmp_path), "--out", str(tmp_path / "runs" / "x"))
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "cannot be written" in output
    assert "Traceback" not in output
