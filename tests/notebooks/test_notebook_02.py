"""Notebook 02, executed once with changed parameters: figures kept, texts that carry them, no hidden error."""

import papermill
import pytest

PARAMETERS = {"preset": "smoke", "seed": 1, "degrees": 90, "mode": "squared", "unknown": 0.5, "temperature": 0.3}
FIGURES = {"profiles", "modes", "all_losses", "all_gradients", "landscape_hard", "landscape_soft"}


@pytest.fixture(scope="module")
def book(repository, tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebook")
    source, target = repository / "notebooks" / "02_hard_and_soft.ipynb", folder / "out.ipynb"
    found = papermill.execute_notebook(
        str(source), str(target), PARAMETERS | {"out": str(folder)}, kernel_name="python3", progress_bar=False
    )
    assert {path.stem for path in (folder / "figures").glob("*.png")} == FIGURES
    return found


def outputs(book):
    return [output for cell in book.cells for output in cell.get("outputs", [])]


def texts(book):
    return "".join(o.get("text", "") + o.get("data", {}).get("text/plain", "") for o in outputs(book))


def test_no_error_in_cells_or_widgets(book):
    states = book.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"].values()
    shown = [output for state in states for output in state["state"].get("outputs", [])]
    assert shown, "the explorers have drawn"
    assert not [output for output in [*outputs(book), *shown] if output["output_type"] == "error"]


def test_every_figure_is_shown_and_both_explorers_leave_a_picture(book):
    pictures = [output for output in outputs(book) if "image/png" in output.get("data", {})]
    assert len(pictures) == len(FIGURES) + 2


def test_texts_follow_the_parameters(book):
    found = texts(book)
    assert "l2, squared, margin 2.00: dead zone 0° to 90°" in found
    assert "temperature 0.30, λ 1.00" in found
    assert "u spreads by 0.50" in found


def test_the_unfilled_exercise_says_not_yet(book):
    assert "margin_loss: not yet." in texts(book)
