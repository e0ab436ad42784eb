"""Notebook 03 headless: figures, the exploration's words, an exercise that is not yet done."""

import pytest

FIGURES = {"mappings", "one_pair", "weights", "estimators_image", "estimators_speech", "norm", "reject", "noise"}


@pytest.fixture(scope="module")
def done(execute):
    return execute("03_quality_weights", preset="smoke", seed=1, mapping="power", methods=["soft_quality"])


def test_it_runs_and_keeps_its_figures(done):
    done.check(figures=len(FIGURES) + 1)
    assert done.saved.keys() == FIGURES


def test_the_exploration_tells_its_numbers_and_plays_the_voice(done):
    (view,) = [output["data"] for output in done.outputs if "widget-view" in str(output)]
    assert "SNR 30 dB, blur 0 pixels" in view["text/plain"]
    assert "→ weight" in view["text/plain"]
    assert "image/png" in view
    assert "<audio" in str(done.widgets)


def test_the_stub_is_not_yet_and_the_table_has_the_asked_for_students(done):
    assert "Weights from quality: not yet." in done.text
    assert "Lowest mean EER over the levels: soft_quality" in done.text
