"""Notebook 02, executed once with changed parameters: figures kept, and texts that carry them."""

import pytest

PARAMETERS = {"preset": "smoke", "seed": 1, "degrees": 90, "mode": "squared", "unknown": 0.5, "temperature": 0.3}
FIGURES = {"profiles", "modes", "all_losses", "all_gradients", "landscape_hard", "landscape_soft"}


@pytest.fixture(scope="module")
def done(execute):
    return execute("02_hard_and_soft", **PARAMETERS)


def test_every_figure_is_shown_and_both_explorers_leave_a_picture(done):
    done.check(figures=len(FIGURES) + 2)
    assert done.saved.keys() == FIGURES
    assert len([name for name, _ in done.widgets if name == "OutputModel"]) == 2


def test_texts_follow_the_parameters(done):
    assert "l2, squared, margin 2.00: dead zone 0° to 90°" in done.text
    assert "temperature 0.30, λ 1.00" in done.text
    assert "u spreads by 0.50" in done.text


def test_the_unfilled_exercise_says_not_yet(done):
    assert "margin_loss: not yet." in done.text
