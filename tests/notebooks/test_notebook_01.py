"""01_modality_gap, executed with changed parameters."""

import pytest

FIGURES = {"people_strength", "people_strength_chosen", "toy_strength"}


@pytest.fixture(scope="module")
def done(execute):
    return execute("01_modality_gap", preset="smoke", shared=0.9, strengths=[2.0])


def test_figures_are_kept_and_the_explorer_leaves_one(done):
    done.check(figures=len(FIGURES) + 1)
    assert done.saved.keys() == FIGURES
    assert [state for name, state in done.widgets if name == "OutputModel"]


def test_parameters_are_used_and_nothing_is_solved_yet(done):
    assert "Distance at λ = 30: hard" in done.text
    assert "Chosen epoch. Distance at λ = 2" in done.text
    assert "CKA: not yet." in done.text
