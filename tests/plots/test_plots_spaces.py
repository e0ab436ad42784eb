"""The embedding explorer's figures: their artists hold the numbers, in shapes as well as in colours, and in words."""

from itertools import pairwise

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex
from scipy.stats import norm

from xmkd_lib import plots
from xmkd_lib.errors import UserError
from xmkd_lib.evaluation import Spread, det_curve, eer
from xmkd_lib.explore import Projection, View
from xmkd_lib.plots.spaces import NAMED, REST


def draws(figure):
    assert len(plots.alt_text(figure)) > 40
    assert plots.svg(figure).startswith(b"<?xml")
    return figure


def view(metric=True, training=(True, True, False, False, False, False)):
    names = np.array(["ann", "bob", "cid", "cid", "dan", "dan"], dtype=object)
    near = Projection(np.arange(12.0).reshape(6, 2), ("a", "b"), metric)
    far = Projection(-3 * near.points, ("c", "d"), metric)
    return View({"teacher": near, "soft": far}, names, np.array(training), ["cid", "ann"], 3, {}, "Nearest to it: dan.")


def points(collection):
    return np.asarray(collection.get_offsets()).tolist()


def test_spaces_draw_every_sample_once_and_ring_the_choice():
    shown = view()
    figure = draws(plots.spaces(shown))
    for ax, projection in zip(figure.axes, shown.panels.values(), strict=True):
        *classes, ring = ax.collections
        assert sorted(p for c in classes for p in points(c)) == sorted(projection.points.tolist())
        assert points(ring) == [projection.points[3].tolist()]
        assert len(ring.get_facecolor()) == 0
        assert [text.get_text() for text in ax.texts] == ["cid"]
        assert (ax.get_xlabel(), ax.get_ylabel()) == projection.axes


def test_training_is_open_and_the_rest_filled():
    figure = plots.spaces(view())
    for collection in figure.axes[0].collections[:-1]:
        training = points(collection)[0] in ([0, 1], [2, 3])
        assert (len(collection.get_facecolor()) == 0) == training


def test_spaces_are_drawn_at_one_scale_where_distances_can_be_compared():
    left, right = plots.spaces(view()).axes
    assert left.get_xlim() == right.get_xlim() == right.get_ylim()
    assert left.get_xlim()[0] < -33
    left, right = draws(plots.spaces(view(metric=False))).axes
    assert left.get_xlim() != right.get_xlim()
    assert not len(left.get_xticks())


def test_spaces_in_words_and_as_a_table():
    figure = plots.spaces(view())
    table = plots.table(figure)
    assert table["class"].tolist() == ["ann", "bob", "cid", "cid", "dan", "dan"]
    assert table.chosen.tolist() == [False, False, False, True, False, False]
    assert table["soft, y"].tolist() == [-3.0, -9.0, -15.0, -21.0, -27.0, -33.0]
    words = plots.alt_text(figure)
    assert "by PCA" in words
    assert f"the 2 points of cid lie {np.sqrt(2):.2f} from their centre" in words
    assert "by UMAP" in plots.alt_text(plots.spaces(view(metric=False)))


@pytest.mark.parametrize(("training", "absent"), [([True] * 6, "filled"), ([False] * 6, "open")])
def test_the_key_names_only_what_is_there(training, absent):
    (legend,) = plots.spaces(view(training=training)).legends
    assert not [text for text in legend.get_texts() if text.get_text().startswith(absent)]


def test_named_classes_differ_in_colour_and_in_marker():
    styles = [*NAMED, REST]
    assert len({style.colour for style in styles}) == len({style.marker for style in styles}) == len(styles)


def trials(shift=1.5, seed=0, count=400):
    rng = np.random.default_rng(seed)
    targets = rng.random(count) < 0.3
    return np.clip(0.2 * rng.normal(size=count) + 0.2 * shift * targets, -1, 1), targets


def test_histograms_hold_the_scores_and_the_threshold():
    scores, targets = trials()
    figure = draws(plots.score_histogram({"none": (scores, targets)}))
    (ax,) = figure.axes
    for patch, chosen in zip(ax.patches, (targets, ~targets), strict=True):
        heights, edges, _ = patch.get_data()
        expected = [np.mean((scores[chosen] >= a) & (scores[chosen] < b)) / (b - a) for a, b in pairwise(edges)]
        np.testing.assert_allclose(heights, expected, atol=1e-9)
    same, different = ax.patches
    assert same.get_hatch() != different.get_hatch()
    assert to_hex(same.get_edgecolor()) != to_hex(different.get_edgecolor())
    (line,) = ax.lines
    assert line.get_xdata()[0] == det_curve(scores, targets).eer_threshold
    row = plots.table(figure).iloc[0]
    assert row["EER (%)"] == pytest.approx(100 * eer(scores, targets))
    assert row["mean same"] == pytest.approx(scores[targets].mean())
    assert f"EER {100 * eer(scores, targets):.1f} %" in plots.alt_text(figure)
    assert f"EER {100 * eer(scores, targets):.1f} %" in ax.get_title(loc="left")


def test_histograms_stand_constant_scores_and_many_spaces():
    constant = np.ones(20), np.arange(20) < 5
    many = {f"method {place}": trials(seed=place, count=60) for place in range(5)}
    figure = draws(plots.score_histogram({"collapsed": constant, **many}))
    assert plots.table(figure)["EER (%)"][0] == 50


def test_det_lies_on_the_error_rates_in_normal_deviates():
    scores, targets = trials()
    figure = draws(plots.det({"none": (scores, targets), "soft": trials(2, seed=1)}))
    (ax,) = figure.axes
    line, point = ax.lines[:2]
    x, y = (norm.cdf(values) for values in line.get_data())
    thresholds = np.unique(scores)
    miss = np.array([np.mean(scores[targets] < t) for t in thresholds])
    false_alarm = np.array([np.mean(scores[~targets] >= t) for t in thresholds])
    for rate, missed in zip(x, y, strict=True):
        if not np.isnan(missed):  # between the nearest operating points on either side
            assert miss[false_alarm >= rate].max(initial=0) - 1e-9 <= missed
            assert missed <= miss[false_alarm <= rate].min(initial=1) + 1e-9
    np.testing.assert_allclose(norm.cdf(point.get_xdata()), eer(scores, targets), atol=1e-12)
    assert point.get_xdata() == point.get_ydata()


def test_det_tells_methods_apart_without_colour():
    figure = plots.det({"none": trials(), "soft": trials(2), "teacher": trials(3), "hard_feature": trials(1)})
    (ax,) = figure.axes
    curves, marks = ax.lines[0:8:2], ax.lines[1:8:2]
    assert len({str(line.get_linestyle()) + str(line._dash_pattern) for line in curves}) == 4
    assert len({line.get_marker() for line in marks}) == 4
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels[0] == f"none, EER {100 * eer(*trials()):.1f} %"


def test_det_reads_misses_off_at_given_false_alarms():
    scores, targets = np.array([0.9, 0.5, 0.5, 0.1]), np.array([True, True, False, False])
    table = plots.table(plots.det({"x": (scores, targets)}))
    assert table["misses at 40 % false alarms (%)"][0] == pytest.approx(10)  # from (0, 50) straight to (50, 0)
    assert table["misses at 1 % false alarms (%)"][0] == pytest.approx(49)


@pytest.mark.parametrize(("scores", "error"), [([1.0, 1, 0, 0], 0), ([0.0, 0, 1, 1], 100), ([1.0, 1, 1, 1], 50)])
def test_det_stands_perfect_inverted_and_constant_scores(scores, error):
    figure = draws(plots.det({"x": (np.array(scores), np.array([True, True, False, False]))}))
    assert plots.table(figure)["EER (%)"][0] == error


@pytest.mark.parametrize("draw", [plots.det, plots.score_histogram])
def test_trials_of_one_kind_are_refused(draw):
    with pytest.raises(UserError, match="non-target"):
        draw({"x": (np.ones(3), np.ones(3, bool))})


def test_spread_stacks_the_shares():
    found = {"healthy": Spread(0.1, 0.6, 0.3), "collapsed": Spread(0.97, 0.02, 0.01)}
    figure = draws(plots.spread(found))
    (ax,) = figure.axes
    for place, bars in enumerate(ax.containers):
        assert [bar.get_width() for bar in bars] == pytest.approx([100 * shares[place] for shares in found.values()])
        assert [bar.get_x() for bar in bars] == pytest.approx([100 * sum(s[:place]) for s in found.values()])
    assert len({bars[0].get_hatch() for bars in ax.containers}) == 3
    assert [text.get_text() for text in ax.texts if text.get_text()] == ["10", "97", "60", "30"]
    assert plots.table(figure).loc["collapsed", "common"] == pytest.approx(97)
    assert "collapsed 97, 2 and 1 %" in plots.alt_text(figure)


def test_figures_leave_the_users_settings_alone():
    with matplotlib.rc_context({"font.size": 7, "figure.autolayout": True}):
        plots.spaces(view())
        assert matplotlib.rcParams["font.size"] == 7
