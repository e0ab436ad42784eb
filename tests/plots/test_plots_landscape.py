"""The picture of the plane holds path, disc, ends and both curves, with the auto margin marked."""

import numpy as np
import pytest

from xmkd_lib import plots
from xmkd_lib.explore.landscape import landscape, toy

POINTS = toy()
FOUND = landscape(POINTS, "hinge", 0.7)
FIGURE = plots.landscape(FOUND)


def line(ax, label):
    (found,) = [one for one in ax.lines if one.get_label() == label]
    return found


def test_the_plane():
    plane = FIGURE.axes[0]
    np.testing.assert_array_equal(line(plane, "students' ends").get_xydata(), FOUND.ends)
    np.testing.assert_array_equal(line(plane, "teacher's points (c, u)").get_xydata(), POINTS.train.numpy())
    np.testing.assert_array_equal(line(plane, "its teacher's point").get_xydata()[0], POINTS.train[POINTS.shown])
    assert any(np.array_equal(one.get_xydata(), FOUND.path) for one in plane.lines)
    (disc,) = plane.patches
    assert disc.radius == pytest.approx(0.7**0.5)
    assert disc.center == pytest.approx(POINTS.train[POINTS.shown].tolist())
    best = line(plane, "best guess (c, mean u)").get_xydata()[0]
    assert best == pytest.approx([POINTS.train[POINTS.shown, 0].item(), 0], abs=1e-9)


def test_darker_is_higher():
    (image,) = FIGURE.axes[0].images
    shades = image.get_array()
    assert shades[np.unravel_index(FOUND.field.argmin(), FOUND.field.shape)] == shades.min()
    order = np.argsort(FOUND.field, axis=None)
    assert (np.diff(shades.ravel()[order]) >= 0).all()


def test_the_curves():
    right = FIGURE.axes[1]
    np.testing.assert_array_equal(line(right, "training").get_ydata(), FOUND.train_distances)
    np.testing.assert_array_equal(line(right, "new").get_ydata(), FOUND.new_distances)
    assert line(right, "training").get_markerfacecolor() == "white"
    diamonds = {one.get_ydata()[0] for one in right.lines if one.get_marker() == "D"}
    assert diamonds == {FOUND.train_distance, FOUND.new_distance}
    marks = [list(one.get_xdata()) for one in right.lines if one.get_linestyle() == ":"]
    assert marks == [[POINTS.auto_margin] * 2]
    assert [text.get_text() for text in right.texts] == ["auto margin", "floor: best linear guess"]
    assert right.get_xlabel() == "margin (squared distance)"


def test_words_and_table():
    assert "hinge, margin 0.70" in plots.alt_text(FIGURE)
    table = plots.table(FIGURE)
    assert list(table.columns) == ["margin", "training", "new", "floor"]
    assert table.margin.is_monotonic_increasing
    row = table[table.margin == 0.7].iloc[0]
    assert (row.training, row.new, row.floor) == (FOUND.train_distance, FOUND.new_distance, POINTS.auto_margin)


def test_hard_differs_in_colour_and_marker():
    hard = plots.landscape(landscape(POINTS))
    ends, soft_ends = (line(figure.axes[0], "students' ends") for figure in (hard, FIGURE))
    assert ends.get_color() != soft_ends.get_color()
    assert ends.get_marker() != soft_ends.get_marker()
    assert [ax.get_title("left") for ax in hard.axes] == ["hard, margin 0.00", "hinge: training and new samples"]
