"""Figures of quality and robustness: the numbers in the artists, the words and the tables."""

import numpy as np
import pandas as pd
import pytest
import torch

from xmkd_lib import plots, quality
from xmkd_lib.explore import Ranking

NAMES = ["image.sharpness", "speech.energy_snr"]


def draws(figure):
    """The figure renders, says in words what it shows, and has its numbers as a table."""
    assert len(plots.alt_text(figure)) > 40
    assert len(plots.table(figure))
    assert plots.svg(figure).startswith(b"<?xml")
    return figure


def opinion(quality_of, weight):
    return pd.DataFrame({"score": [-3.0, 12.5], "quality": quality_of, "weight": weight}, index=NAMES)


def ranking(estimator="e", axis="blur", slope=-1.0, better=-1, errors=None):
    truth = torch.linspace(0, 1, 20)
    return Ranking(estimator, axis, truth, slope * truth, better, errors)


def test_judged_draws_before_open_and_after_filled():
    before, after = opinion([1.0, 0.9], [2.0, 1.8]), opinion([0.1, 0.4], [0.2, 2.6])
    face = torch.full((3, 8, 8), 0.5)
    figure = draws(plots.judged(before, after, [face, 0 * face]))
    faces, left, right = figure.axes
    shown = faces.images[0].get_array()
    assert (shown[0, 0, 0], shown[-1, 0, 0]) == (0.5, 0)
    for ax, column in ((left, "quality"), (right, "weight")):
        open_, filled = (line for line in ax.lines if line.get_marker() == "o")
        assert open_.get_xdata().tolist() == before[column].tolist()
        assert open_.get_markerfacecolor() == "white"
        assert filled.get_xdata().tolist() == after[column].tolist()
    assert right.get_xlim()[1] > 2.6
    labels = [text.get_text() for text in left.get_yticklabels()]
    assert labels == ["image.sharpness   -3.00 → -3.00", "speech.energy_snr   12.50 → 12.50"]
    assert "speech.energy_snr: quality 0.90 to 0.40, weight 1.80 to 2.60" in plots.alt_text(figure)
    assert plots.table(figure).weight_after.tolist() == [0.2, 2.6]


def test_weight_curves_are_the_weights_of_every_mapping():
    grades = torch.tensor([0.9, 0.1, 0.5, 0.3])
    figure = draws(plots.weight_curves(grades, strengths=(0.0, 0.5)))
    assert [ax.get_title("left") for ax in figure.axes] == ["linear", "softmax", "power", "gate"]
    for ax in figure.axes:
        mapping = ax.get_title("left")
        expected = quality.weights(grades.sort().values, mapping, 0.5).numpy()
        flat, curve = ax.lines[:2]
        np.testing.assert_array_equal(flat.get_ydata(), np.ones(4))
        np.testing.assert_array_equal(curve.get_ydata(), expected)
        np.testing.assert_array_equal(plots.table(figure)[mapping, 0.5], expected)
        assert flat.get_marker() != curve.get_marker()
        assert (
            f"{quality.effective_sample_size(torch.tensor(expected)):.0%} effective"
            in ax.get_legend().texts[1].get_text()
        )


@pytest.mark.parametrize(
    ("slope", "better", "verdict"), [(-1, -1, "ranks"), (1, -1, "reversed"), (1, 1, "ranks"), (0, -1, "blind")]
)
def test_against_truth_says_what_the_rank_correlation_says(slope, better, verdict):
    figure = draws(plots.against_truth([ranking(slope=slope, better=better)]))
    shown = [ax for ax in figure.axes if ax.get_visible()]
    assert len(shown) == 1
    (ax,) = shown
    assert ax.get_title("left").endswith(verdict)
    (cloud,) = ax.lines
    assert cloud.get_xdata().tolist() == ranking().truth.tolist()
    assert ax.xaxis_inverted() == (better > 0)
    (row,) = plots.table(figure).itertuples()
    assert (row.corruption, row.estimator, row.verdict, row.n) == ("blur", "e", verdict, 20)


def test_verdicts_differ_in_marker_and_colour():
    looks = [plots.against_truth([ranking(slope=slope)]).axes[0].lines[0] for slope in (-1, 0, 1)]
    assert len({look.get_marker() for look in looks}) == len({look.get_color() for look in looks}) == 3


def test_against_truth_fills_rows_from_the_left():
    figure = draws(plots.against_truth([ranking(f"e{k}") for k in range(4)], columns=3, what="weight"))
    assert [ax.get_visible() for ax in figure.axes] == [True] * 4 + [False] * 2
    assert [ax.get_ylabel() for ax in figure.axes][::3] == ["weight", "weight"]


def test_reject_curves_are_those_of_the_room_of_quality():
    errors = (torch.arange(20) % 3 == 0).float()
    panels = [
        ranking("a", "blur", -1, errors=errors),
        ranking("b", "blur", 1, errors=errors),
        ranking("a", "noise", 1, errors=errors),
    ]
    figure = draws(plots.reject_curves(panels))
    assert [ax.get_title("left") for ax in figure.axes] == ["blur", "noise"]
    for line, found in zip([*figure.axes[0].lines, *figure.axes[1].lines], panels, strict=True):
        np.testing.assert_allclose(line.get_ydata(), 100 * np.array(found.curve.error))
        np.testing.assert_allclose(line.get_xdata(), 100 * np.array(found.curve.fractions))
        assert line.get_label() == f"{found.estimator}, gain {found.curve.gain:+.2f}"
    assert plots.table(figure).gain.tolist() == [found.curve.gain for found in panels]


def test_robustness_draws_a_line_per_method_and_noise_grows_to_the_right():
    table = pd.DataFrame({"none": [10.0, 20.0], "soft": [11.0, 15.0]}, index=pd.Index([30, -5], name="SNR (dB)"))
    figure = draws(plots.robustness(table, "test EER (%)"))
    (ax,) = figure.axes
    assert {line.get_label(): line.get_ydata().tolist() for line in ax.lines} == {"none": [10, 20], "soft": [11, 15]}
    assert len({(line.get_marker(), line.get_linestyle()) for line in ax.lines}) == 2
    assert ax.xaxis_inverted()
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("SNR (dB)", "test EER (%)")
    assert "none 10.0 to 20.0, soft 11.0 to 15.0" in plots.alt_text(figure)
    rising = plots.robustness(table.rename_axis("blur (pixels)"), "EER", falling=False)
    assert not rising.axes[0].xaxis_inverted()
    assert "none 20.0 to 10.0" in plots.alt_text(rising)
