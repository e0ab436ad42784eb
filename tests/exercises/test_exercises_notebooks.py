"""Every notebook's stub is not yet solved, and its solution is."""

import pytest

from xmkd_lib import exercises

EXERCISES = {
    "00_quickstart": ("best_method", "check_best_method", 3),
    "01_modality_gap": ("cka", "check_cka", 6),
    "02_hard_and_soft": ("margin_loss", "check_margin_loss", 7),
    "03_quality_weights": ("my_weights", "check_weights", 7),
    "04_embedding_explorer": ("effective_rank", "check_effective_rank", 8),
    "05_experiment": ("terms", "check_terms", 5),
    "06_ablation_report": ("paired_difference", "check_paired_difference", 4),
}


def test_every_notebook_has_one(repository):
    assert [path.stem for path in sorted((repository / "notebooks").glob("*.ipynb"))] == list(EXERCISES)


@pytest.mark.parametrize("notebook", EXERCISES)
def test_stub_and_solution(attempts, notebook):
    name, check, claims = EXERCISES[notebook]
    stub, solution = (getattr(exercises, check)(defined[name]) for defined in attempts(notebook))
    assert not stub.passed
    assert len(stub.findings) == 1
    assert stub.findings[0].seen == ("it is []" if name == "terms" else "it returns nothing yet")
    assert solution.passed, str(solution)
    assert len(solution.findings) == claims
