"""The pictures of profiles hold their numbers, in curves that differ in more than colour."""

import numpy as np
import pytest

from xmkd_lib import plots
from xmkd_lib.errors import UserError
from xmkd_lib.explore.profile import profile, profile_at

FOUND = [profile_at(name, 60) for name in ("l2", "rkd_distance", "kd", "infonce", "simkd")]


def curves(ax):
    return [line for line in ax.lines if len(line.get_xdata()) == len(FOUND[0].degrees)]


def shaded(ax):
    return [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in ax.patches]


def test_loss_above_and_gradient_below_hard_and_soft():
    figure = plots.profile(FOUND[:1])
    loss, gradient = figure.axes
    for ax, hard, soft in (
        (loss, FOUND[0].hard, FOUND[0].soft),
        (gradient, FOUND[0].hard_gradient, FOUND[0].soft_gradient),
    ):
        under, over = curves(ax)
        np.testing.assert_array_equal(under.get_ydata(), soft)
        np.testing.assert_array_equal(over.get_ydata(), hard)
        assert over.get_linestyle() != under.get_linestyle(), "told apart without colour"
        assert shaded(ax) == [(0, 60)]
    (diamond,) = [line for line in loss.lines if line.get_marker() == "D"]
    assert (diamond.get_xdata()[0], diamond.get_ydata()[0]) == (60, pytest.approx(1))
    assert (gradient.get_xlabel(), gradient.get_ylabel()) == ("angle to the teacher (°)", "gradient (per radian)")
    assert loss.get_title("left") == "l2\nhinge, m = 1.00"


def test_a_constraint_without_margin_has_one_curve_and_no_zone():
    figure = plots.profile([FOUND[3]])
    assert len(curves(figure.axes[0])) == 1
    assert shaded(figure.axes[0]) == []
    assert figure.axes[0].get_title("left") == "infonce, no margin"


def test_a_margin_above_every_value_has_no_diamond():
    figure = plots.profile([profile("l2", 5.0)])
    assert not [line for line in figure.axes[0].lines if line.get_marker() == "D"]
    assert shaded(figure.axes[0]) == [(0, 178)]


def test_words_and_table():
    figure = plots.profile(FOUND[:2])
    assert plots.alt_text(figure).startswith("l2, hinge, margin 1.00: dead zone 0° to 60°")
    table = plots.table(figure)
    assert len(table) == 2 * len(FOUND[0].degrees)
    row = table[(table.constraint == "l2") & (table.degrees == 90)].iloc[0]
    assert (row.hard, row.soft, row.hard_gradient, row.soft_gradient) == pytest.approx((2, 1, 2, 2))


@pytest.mark.parametrize("quantity", ["loss", "gradient"])
def test_overview_has_a_row_for_each_group(quantity):
    figure = plots.profile_overview(FOUND, quantity)
    shown = [ax for ax in figure.axes if ax.get_visible()]
    titles = [ax.get_title("left").split(",")[0] for ax in shown]
    assert titles == ["l2", "simkd *", "rkd_distance", "infonce", "kd"]
    assert [ax.get_ylabel() for ax in shown if ax.get_ylabel()] == ["feature level", "relational", "classifier level"]
    wanted = FOUND[2].hard if quantity == "loss" else FOUND[2].hard_gradient
    np.testing.assert_array_equal(curves(shown[-1])[-1].get_ydata(), wanted)
    assert "kd 0 to 60°; infonce none" in plots.alt_text(figure)
    assert set(plots.table(figure).constraint) == {one.name for one in FOUND}


def test_overview_of_something_else_is_refused():
    with pytest.raises(UserError, match="loss, gradient"):
        plots.profile_overview(FOUND, "slope")
