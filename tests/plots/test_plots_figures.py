"""Figures hold the numbers they were given, in a look that survives grey print, names with $ and gaps."""

import io
from concurrent.futures import ThreadPoolExecutor

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from xmkd_lib import methods, plots
from xmkd_lib.evaluation import bootstrap_interval
from xmkd_lib.plots.theme import _STYLES, RC

PRESETS = tuple(methods.PRESETS)


def draws(figure):
    """The figure renders, and says in words what it shows."""
    assert isinstance(figure, Figure)
    assert len(plots.alt_text(figure)) > 40
    assert plots.svg(figure).startswith(b"<?xml")
    return figure


def line_data(ax):
    return [tuple(np.round(line.get_xdata(), 6)) for line in ax.lines]


def test_paired_shows_seeds_mean_and_interval():
    values = [-1.0, -2.0, -4.5]
    figure = draws(
        plots.paired({"last epoch": {"soft": values}, "chosen": {"soft": [0.5]}}, "none", "test EER (points)")
    )
    left, right = figure.axes
    assert tuple(values) in line_data(left)
    assert (-2.5,) in line_data(left)
    assert tuple(np.round(bootstrap_interval(values), 6)) in line_data(left)
    assert left.get_xlim() == right.get_xlim()
    assert [text.get_text() for text in left.get_yticklabels()] == ["soft"]
    assert "soft -2.50" in plots.alt_text(figure)


@pytest.mark.parametrize(("lower", "sides"), [(True, ["← better", "worse →"]), (False, ["← worse", "better →"])])
def test_paired_says_which_side_is_better(lower, sides):
    figure = plots.paired({"last": {"soft": [1.0, 2.0]}}, "none", "EER", lower_is_better=lower)
    assert [text.get_text() for text in figure.axes[0].texts] == sides


def test_paired_says_where_seeds_are_missing():
    figure = draws(plots.paired({"last": {"soft": [1.0]}, "chosen": {}}, "none", "EER"))
    assert "no common seed" in figure.axes[1].texts[0].get_text()


def test_gap_draws_training_open_and_test_filled():
    figure = draws(plots.gap({("last epoch", "EER (%)"): {"soft": ([1.0, 3.0], [10.0, 14.0])}}))
    (ax,) = figure.axes
    bar, _, train, _, test = ax.lines
    assert bar.get_xdata().tolist() == [2, 12]
    assert (train.get_xdata()[0], train.get_markerfacecolor()) == (2, "white")
    assert (test.get_xdata()[0], test.get_markerfacecolor()) == (12, plots.styles(["soft"])["soft"].colour)
    assert ax.get_xlabel() == "EER (%)"


def test_gap_stands_a_method_that_lacks_one_quantity():
    panels = {
        ("last", "EER (%)"): {"none": ([1.0], [2.0]), "soft": ([1.0], [3.0])},
        ("last", "distance"): {"soft": ([1], [2])},
    }
    assert len(draws(plots.gap(panels)).axes) == 2


def table(*columns):
    return pd.DataFrame(np.array(columns, dtype=float).T, index=pd.Index(range(1, len(columns[0]) + 1), name="epoch"))


def test_curves_draw_the_mean_and_the_reference_behind():
    series = {"none": {"validation": table([4, 3], [2, 1])}, "soft": {"validation": table([3, 2], [1, 0])}}
    figure = draws(plots.curves(series, "EER (%)"))
    none, soft = figure.axes
    assert [line.get_ydata().tolist() for line in none.lines] == [[3, 2]]
    assert [line.get_ydata().tolist() for line in soft.lines] == [[3, 2], [2, 1]]
    assert (none.get_ylabel(), none.get_xlabel(), none.get_title("left")) == ("EER (%)", "epoch", "none")
    band = soft.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == (0, 3)


def test_each_curve_may_have_a_reference_of_its_own():
    series = {name: {"validation": table([k, k])} for k, name in enumerate(("none · a=1", "none · a=2", "soft · a=2"))}
    figure = draws(plots.curves(series, "EER", {"soft · a=2": "none · a=2", "none · a=1": "None"}))
    assert [[line.get_ydata()[0] for line in ax.lines] for ax in figure.axes] == [[0], [1], [1, 2]]


def test_curves_with_holes_one_seed_and_without_reference():
    holes = table([4, np.nan, 3], [2, np.nan, np.nan])
    figure = draws(
        plots.curves({"a": {"validation": holes, "training": table([1, 1, 1])}, "b": {"training": holes}}, "d")
    )
    assert figure.axes[0].lines[0].get_ydata().tolist() == [3, 3]


@pytest.mark.parametrize("count", [1, 2, 5, 7])
def test_every_panel_column_has_an_epoch_axis(count):
    series = {f"m{k}": {"validation": table([2, 1])} for k in range(count)}
    shown = [ax for ax in plots.curves(series, "EER").axes if ax.get_visible()]
    assert len(shown) == count
    assert sum(ax.get_xlabel() == "epoch" for ax in shown) == min(count, 3 if count in (5, 6, 9) else 4)


def test_seed_map_writes_every_cell_and_marks_holes():
    frame = pd.DataFrame([[1.5, -2.0], [np.nan, 0.5]], index=["hard", "soft"], columns=[0, 3])
    figure = draws(plots.seed_map(frame, "test EER − none"))
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert sorted(texts) == ["+0.5", "+1.5", "-2.0", "missing"]
    assert "hard in 1 of 2, soft in 1 of 1" in plots.alt_text(figure)
    higher = plots.seed_map(frame, "accuracy − none", lower_is_better=False)
    assert "soft in 0 of 1" in plots.alt_text(higher)


def test_seed_map_of_zeros_draws():
    draws(plots.seed_map(pd.DataFrame([[0.0, 0.0]], index=["soft"]), "EER"))


def test_presets_differ_in_colour_marker_and_not_only_in_hue():
    looks = plots.styles(PRESETS)
    assert (
        len({look.colour for look in looks.values()}) == len({look.marker for look in looks.values()}) == len(PRESETS)
    )
    for look in looks.values():
        red, green, blue = matplotlib.colors.to_rgb(look.colour)
        assert 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.62  # dark enough on white


def test_other_names_get_styles_that_presets_do_not_use():
    looks = plots.styles(["kd", "rkd_distance", "none", "kd · margin=1"])
    assert looks["kd"] != looks["rkd_distance"]
    assert looks["kd"] == looks["kd · margin=1"]
    assert not {looks["kd"], looks["rkd_distance"]} & set(_STYLES.values())
    assert len(plots.styles([f"m{k}" for k in range(12)])) == 12


def test_names_with_dollars_are_not_formulas():
    draws(plots.paired({"last": {"a$b$": [1.0, 2.0], "$\\frac$": [1.0, 1.0]}}, "$x", "EER"))


def test_figures_leave_the_callers_settings_and_pyplot_alone():
    before = dict(matplotlib.rcParams)
    plots.svg(plots.paired({"last": {"soft": [1.0, 2.0]}}, "none", "EER"))
    assert dict(matplotlib.rcParams) == before
    assert RC["text.parse_math"] is False


def test_equal_data_give_equal_bytes_and_png_works_too():
    figures = [plots.paired({"last": {"soft": [1.0, 2.0]}}, "none", "EER") for _ in range(2)]
    assert plots.data_uri(figures[0]) == plots.data_uri(figures[1])
    buffer = io.BytesIO()
    figures[0].savefig(buffer, format="png")
    assert buffer.getvalue().startswith(b"\x89PNG")


def test_gap_of_single_runs_has_both_epochs_and_quantities():
    names = [
        f"{split}_{name}{end}" for split in ("train", "test") for name in ("eer", "distance") for end in ("", "_best")
    ]
    figure = draws(plots.gap_of({"soft": {name: place / 10 for place, name in enumerate(names)}}))
    found = plots.table(figure).set_index(["epoch", "quantity"])[["training", "test"]]
    assert found.loc[("last epoch", "EER (%)")].tolist() == [0, 40]
    assert found.loc[("chosen epoch", "squared distance to the teacher")].round(6).tolist() == [0.3, 0.7]


def test_figures_of_two_threads_do_not_disturb_each_other():
    def drawn(seed):
        figure = plots.paired({"last": {"soft": [seed, 2.0], "none": [1.0, seed]}}, "none", "EER")
        return figure._repr_mimebundle_()["image/png"], plots.svg(figure)

    before, alone = dict(matplotlib.rcParams), [drawn(seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(drawn, range(8))) == alone
    assert dict(matplotlib.rcParams) == before
