"""Notebook 03 headless: figures, the exploration's words, an exercise that is not yet done."""

import papermill
import pytest


@pytest.fixture(scope="module")
def executed(repository, tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebook_03")
    source = repository / "notebooks" / "03_quality_weights.ipynb"
    parameters = {"preset": "smoke", "seed": 1, "mapping": "power", "methods": ["soft_quality"], "out": str(folder)}
    book = papermill.execute_notebook(
        str(source), str(folder / "out.ipynb"), parameters, kernel_name="python3", progress_bar=False
    )
    return book, folder


def shown(book):
    return [output for cell in book.cells for output in cell.get("outputs", [])]


def test_it_runs_and_keeps_its_figures(executed):
    book, folder = executed
    assert not [output for output in shown(book) if output.output_type == "error"]
    assert "'output_type': 'error'" not in str(book.metadata.get("widgets", {}))
    names = {"mappings", "one_pair", "weights", "estimators_image", "estimators_speech", "norm", "reject", "noise"}
    assert {path.stem for path in (folder / "figures").iterdir()} == names


def test_the_exploration_tells_its_numbers_and_plays_the_voice(executed):
    book, _ = executed
    (view,) = [output for cell in book.cells for output in cell.get("outputs", []) if "widget-view" in str(output)]
    assert "SNR 30 dB, blur 0 pixels" in view["data"]["text/plain"]
    assert "→ weight" in view["data"]["text/plain"]
    assert "image/png" in view["data"]
    assert "<audio" in str(book.metadata["widgets"])


def test_the_stub_is_not_yet_and_the_table_has_the_asked_for_students(executed):
    book, _ = executed
    text = str(shown(book))
    assert "Weights from quality: not yet." in text
    assert "Lowest mean EER over the levels: soft_quality" in text
