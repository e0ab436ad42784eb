"""A sweep over margins: the curve, the measured margin and what is said of both."""

import numpy as np
import pandas as pd
import pytest

from xmkd_lib import plots
from xmkd_lib.sweep.margins import margin_curves
from xmkd_lib.sweep.table import unit

EPOCHS = {"": "last epoch", "_best": "chosen epoch"}
MARGINS = (0.0, 1.0, 2.0, 4.0)


def frame(auto=True, setting="feature_margin", **more):
    rows = []
    for seed in range(4):
        for margin in (*MARGINS, *(["auto"] if auto else [])):
            at = 1.9 + 0.02 * seed if margin == "auto" else margin
            error = 0.1 + 0.01 * (at - 2) ** 2 + 0.001 * seed
            measured = at if margin == "auto" else np.nan
            rows.append({"method": "soft_feature", "seed": seed, "test_eer": error, "test_eer_best": error - 0.01,
                         "margin_l2": measured, setting: margin, **more})  # fmt: skip
    table = pd.DataFrame(rows).astype({setting: object})
    table.attrs["settings"] = [setting]
    return table


def test_the_curve_has_every_margin_and_the_measured_one():
    (curve,) = margin_curves(frame(), "test_eer", EPOCHS)
    assert (curve.method, curve.setting) == ("soft_feature", "feature margin")
    assert list(curve.panels) == list(EPOCHS.values())
    assert list(curve.panels["last epoch"]) == list(MARGINS)
    assert curve.panels["last epoch"][2.0] == pytest.approx([10.0, 10.1, 10.2, 10.3])
    assert curve.measured == pytest.approx([1.9, 1.92, 1.94, 1.96])
    assert curve.auto["chosen epoch"] == pytest.approx([9.01, 9.1 + 0.64 / 100, 9.2 + 0.36 / 100, 9.3 + 0.16 / 100])


def test_the_verdict_compares_with_the_best_margin_picked_afterwards():
    (curve,) = margin_curves(frame(), "test_eer", EPOCHS)
    text = curve.verdict(unit("test_eer"), lower=True)
    assert "without test data: 1.93 (1.90 to 1.96)" in text
    assert "Last epoch: the best fixed margin, picked afterwards on test data, is 2" in text
    assert "auto minus that: +0.01 [+0.00, +0.01] points" in text
    worst = curve.verdict(unit("test_eer"), lower=False)
    assert "on test data, is 0;" in worst


def test_margins_without_a_value_are_passed_over():
    table = frame()
    table.loc[table.feature_margin == 2.0, "test_eer"] = np.nan
    table.loc[table.feature_margin != "auto", "test_eer_best"] = np.nan
    (curve,) = margin_curves(table, "test_eer", EPOCHS)
    text = curve.verdict(unit("test_eer"), lower=True)
    assert "Last epoch: the best fixed margin, picked afterwards on test data, is 1;" in text
    assert "Chosen epoch" not in text
    plots.margin_curve(curve.panels, curve.auto, curve.measured, "test EER (%)")


def test_without_an_auto_margin_there_is_still_a_curve():
    (curve,) = margin_curves(frame(auto=False), "test_eer", EPOCHS)
    assert curve.measured == []
    assert curve.auto == {}
    assert "auto margin" not in curve.verdict(unit("test_eer"), lower=True)
    plots.margin_curve(curve.panels, curve.auto, curve.measured, "test EER (%)")


def test_other_sweeps_have_no_curve():
    assert margin_curves(frame(setting="feature_weight"), "test_eer", EPOCHS) == []
    both = frame()
    both.attrs["settings"] = ["feature_margin", "epochs"]
    assert margin_curves(both, "test_eer", EPOCHS) == []
    few = frame()
    few = few[few.feature_margin.isin([0.0, 1.0, "auto"])]
    few.attrs["settings"] = ["feature_margin"]
    assert margin_curves(few, "test_eer", EPOCHS) == []


def test_the_figure_shows_and_says_the_numbers():
    (curve,) = margin_curves(frame(), "test_eer", EPOCHS)
    figure = plots.margin_curve(curve.panels, curve.auto, curve.measured, "test EER (%)", setting=curve.setting)
    assert [ax.get_title(loc="left") for ax in figure.axes] == list(EPOCHS.values())
    line, *_ = figure.axes[0].get_lines()
    assert list(line.get_xdata()) == list(MARGINS)
    np.testing.assert_allclose(line.get_ydata(), [14.15, 11.15, 10.15, 14.15])
    assert "10.15 at 2" in plots.alt_text(figure)
    assert "auto margin is 1.93" in plots.alt_text(figure)
