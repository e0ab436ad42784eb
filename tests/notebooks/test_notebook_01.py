"""01_modality_gap, executed with changed parameters."""

import papermill
import pytest


@pytest.fixture(scope="module")
def book(repository, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gap")
    source, target = repository / "notebooks" / "01_modality_gap.ipynb", folder / "out.ipynb"
    changed = {"preset": "smoke", "shared": 0.9, "strengths": [2.0], "out": str(folder)}
    done = papermill.execute_notebook(str(source), str(target), changed, kernel_name="python3", progress_bar=False)
    return done, folder


def texts(book):
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.output_type == "error"]
    return "".join(output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in outputs)


def test_figures_are_kept(book):
    assert sorted(path.stem for path in (book[1] / "figures").iterdir()) == [
        "people_strength", "people_strength_chosen", "toy_strength",
    ]  # fmt: skip


def test_parameters_are_used_and_nothing_fails(book):
    said = texts(book[0])
    assert "Distance at λ = 30: hard" in said
    assert "Chosen epoch. Distance at λ = 2" in said
    assert "CKA: not yet." in said


def test_no_error_hides_in_the_widget(book):
    state = book[0].metadata.get("widgets", {}).get("application/vnd.jupyter.widget-state+json", {}).get("state", {})
    outputs = [output for widget in state.values() for output in widget["state"].get("outputs", [])]
    assert outputs
    assert not [output for output in outputs if output["output_type"] == "error"]
