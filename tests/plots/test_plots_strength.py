import pandas as pd
import pytest

from xmkd_lib import plots
from xmkd_lib.explore.strength import COLUMNS

DISTANCE = {"training": [2.0, 1.0, 0.2], "held-out": [2.1, 1.5, 1.4]}
ERROR = {"training": [0.0, 0.0, 1.0], "held-out": [20.0, 20.5, 33.0]}


def table(*constraints, strengths=(0.0, 0.5, 4.0)):
    rows = [
        (constraint, strength, split, DISTANCE[split][k], ERROR[split][k], 0.3 + 0.1 * k)
        for constraint in constraints
        for split in DISTANCE
        for k, strength in enumerate(strengths)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def curves(ax):
    return [line for line in ax.lines if len(line.get_xdata()) == 3]


def test_curves_hold_the_numbers_training_open_held_out_filled():
    figure = plots.strength(table("hard", "soft").sample(frac=1, random_state=0))
    distance, error, cka = figure.axes
    for ax, quantity in ((distance, DISTANCE), (error, ERROR)):
        assert len(curves(ax)) == 4
        for line, split in zip(curves(ax), ["training", "held-out"] * 2, strict=True):
            assert list(line.get_xdata()) == [0, 0.5, 4]
            assert list(line.get_ydata()) == quantity[split]
            assert (line.get_markerfacecolor() == "white") == (split == "training")
            assert (line.get_linestyle() == "--") == (split == "training")
    assert list(curves(cka)[0].get_ydata()) == [0.3, 0.4, 0.5]
    hard, soft = ({line.get_color() for line in curves(distance)[k : k + 2]} for k in (0, 2))
    assert hard != soft
    assert [text.get_text() for text in error.get_xticklabels()] == ["0", "0.5", "4"]
    assert "(%)" in error.get_ylabel()


def test_where_hard_starts_to_hurt_is_marked():
    error = plots.strength(table("hard")).axes[1]
    assert error.get_title(loc="left") == "hard starts to hurt at λ = 4"
    (arrow,) = error.texts
    assert arrow.xy == (4.0, 33.0)
    assert error.get_ylim()[1] > 33


def test_nowhere_is_said_in_words():
    harmless = table("hard", strengths=(4.0, 0.5, 0.0))  # the errors fall with the strength
    error = plots.strength(harmless).axes[1]
    assert error.get_title(loc="left") == "hard hurts nowhere here"
    assert not error.texts


def test_levels_and_the_chosen_strength():
    figure = plots.strength(table("hard"), lines={"floor": 0.6, "auto margin": 0.9}, chosen=0.5)
    floor, margin = (line for line in figure.axes[0].lines if line.get_label().startswith(("floor", "auto margin")))
    assert (floor.get_ydata()[0], margin.get_ydata()[0]) == (0.6, 0.9)
    assert floor.get_linestyle() != margin.get_linestyle(), "told apart without colour"
    shown = [text.get_text() for text in figure.legends[0].texts]
    assert shown == ["hard, training", "hard, held out", "floor 0.60", "auto margin 0.90"]
    for ax in figure.axes:
        assert [0.5, 0.5] in [list(line.get_xdata()) for line in ax.lines]


def test_words_and_table():
    given = table("hard", "soft")
    figure = plots.strength(given, error="EER (%)", lines={"floor": 0.6})
    words = plots.alt_text(figure)
    assert "hard, training: distance 2.00 to 0.20, EER (%) 0.00 to 1.00" in words
    assert "floor: distance 0.60" in words
    assert "soft: starts to hurt at λ = 4" in words
    assert plots.table(figure).equals(given)


@pytest.mark.parametrize("strengths", [(0.0,), (0.0, 3.0)])
def test_few_strengths_can_be_drawn(strengths):
    figure = plots.strength(table("hard", strengths=strengths))
    assert plots.svg(figure).startswith(b"<?xml")
