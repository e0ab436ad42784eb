"""The notebooks: clean in git, and executed headless in the smoke preset."""

import base64
import io
import statistics

import nbformat
import numpy as np
import papermill
import pytest
from PIL import Image

NAMES = ("00_quickstart", "04_embedding_explorer", "05_experiment", "06_ablation_report")


def read(repository, name):
    return nbformat.read(repository / "notebooks" / f"{name}.ipynb", 4)


def execute(repository, name, tmp_path, **parameters):
    source, target = repository / "notebooks" / f"{name}.ipynb", tmp_path / "out.ipynb"
    return papermill.execute_notebook(str(source), str(target), parameters, kernel_name="python3", progress_bar=False)


def pictures(book):
    found = [
        o["data"]["image/png"]
        for cell in book.cells
        for o in cell.get("outputs", [])
        if "image/png" in o.get("data", {})
    ]
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(png))).convert("L")) for png in found]


def check(book, figures):
    outputs = [o for cell in book.cells for o in cell.get("outputs", [])]
    assert not [o for o in outputs if o.output_type == "error"]
    drawn = pictures(book)
    assert len(drawn) >= figures
    for picture in drawn:
        assert picture.std() > 5, "a blank figure"


def test_all_notebooks_are_known(repository):
    assert sorted(path.stem for path in (repository / "notebooks").glob("*.ipynb")) == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_form(repository, name):
    book = read(repository, name)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert book.cells[0].cell_type == "markdown"
    assert "What you will see" in book.cells[0].source
    assert not any(cell.outputs or cell.execution_count for cell in code), "outputs are stripped in git"
    assert statistics.median(len(cell.source.splitlines()) for cell in code) <= 10
    tagged = [cell for cell in code if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    for line in tagged[0].source.splitlines():
        assert ": " in line.split("=")[0], f"no type: {line}"
        assert "  # " in line, f"no help: {line}"


def test_quickstart(repository, tmp_path):
    book = execute(repository, "00_quickstart", tmp_path, preset="smoke")
    check(book, figures=3)
    players = [
        o for cell in book.cells for o in cell.get("outputs", []) if "<audio" in o.get("data", {}).get("text/html", "")
    ]
    assert len(players) == 3


def test_experiment_with_changed_parameters(repository, tmp_path):
    settings = {"feature_margin": 1.5, "epochs": 3}
    book = execute(repository, "05_experiment", tmp_path, preset="smoke", method="soft", seed=2, settings=settings)
    check(book, figures=1)
    text = "".join(o.get("text", "") for cell in book.cells for o in cell.get("outputs", []))
    assert "4·l2 (hinge, margin 1.5)" in text
    assert not (tmp_path / "result.json").exists(), "nothing is kept unless a folder is named"


def test_ablation_report(repository, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(repository / "tests" / "sweep")
    from fake_sweep import write_run, write_status

    for seed in range(4):
        for method in ("none", "hard_feature", "soft_feature"):
            write_run(tmp_path / "runs", method, seed)
    write_status(tmp_path / "runs", "none-s4", "failed", "out of memory", seed=4)
    book = execute(repository, "06_ablation_report", tmp_path, folder=str(tmp_path / "runs"))
    check(book, figures=4)
    shown = str([cell.get("outputs") for cell in book.cells])
    assert "Seeds are missing" in shown
    assert "out of memory" in shown


def test_ablation_report_before_the_first_result(repository, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(repository / "tests" / "sweep")
    from fake_sweep import write_status

    write_status(tmp_path / "runs", "none-s0", "queued")
    check(execute(repository, "06_ablation_report", tmp_path, folder=str(tmp_path / "runs")), figures=0)


def test_experiment_with_a_list_of_terms(repository, tmp_path):
    terms = [{"loss": "angular", "margin": {"quantile": 0.5}, "warmup": 0.2}, {"loss": "kd"}]
    out = tmp_path / "run"
    book = execute(repository, "05_experiment", tmp_path, preset="smoke", method=terms, out=str(out))
    check(book, figures=1)
    assert (out / "result.json").is_file()
