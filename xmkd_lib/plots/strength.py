"""What the strength of a constraint does: distance to the teacher, error and CKA, in training and held out."""

from collections.abc import Mapping
from itertools import cycle

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from xmkd_lib.explore.strength import harm_in_words, hurts_at
from xmkd_lib.plots.theme import INK, MUTED, WIDTH, Style, canvas, describe, styles, themed

METHOD = {"hard": "hard_feature", "soft": "soft_feature"}  # whose colour and marker a constraint has
DASHED = (0, (4, 1.5))


@themed
def strength(
    table: pd.DataFrame, error: str = "error (%)", lines: Mapping[str, float] | None = None, chosen: float | None = None
) -> Figure:
    """Distance, error and CKA against the strength. Open and dashed: training; filled: held out; shaded: hard's gap.

    table: as `explore.strength.COLUMNS` names it. error: the axis of the error, with its unit. lines: name -> squared
    distance, to compare with, such as the floor. chosen: a strength to point out. An arrow marks where the hard
    constraint starts to hurt (`explore.strength.hurts_at`), if anywhere.
    """
    figure, axes = canvas(1, 3, WIDTH, 3.3)
    figure.set_layout_engine(None)  # a third of the drawing time, and a slider waits for it
    figure.subplots_adjust(left=0.055, right=0.99, bottom=0.145, top=0.82, wspace=0.24)
    strengths = sorted(table.strength.unique())
    panels = {"distance": "squared distance to the teacher", "error": error, "cka": "CKA with the teacher"}
    for ax, (quantity, axis) in zip(axes, panels.items(), strict=True):
        for constraint in table.constraint.unique():
            _curves(ax, table, constraint, quantity)
        _strengths(ax, strengths)
        ax.set(ylabel=axis, ylim=(0, 1.02 if quantity == "cka" else 1.15 * table[quantity].max() or 1))
        ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        ax.grid(axis="y")
        if chosen is not None:
            ax.axvline(chosen, color=MUTED, linewidth=7, alpha=0.22)
    levels = [
        axes[0].axhline(distance, color=INK, linewidth=0.9, linestyle=dash, label=f"{name} {distance:.2f}")
        for (name, distance), dash in zip((lines or {}).items(), cycle((":", "-.")), strict=False)
    ]
    _harm(axes[1], table)
    figure.legend(handles=[*_keys(table), *levels], loc="upper left", ncols=6, fontsize=8.5)
    return describe(figure, _in_words(table, error, lines or {}), table)


def _curves(ax: Axes, table: pd.DataFrame, constraint: str, quantity: str) -> None:
    look, both = _look(constraint), []
    for split, dash, fill in (("training", DASHED, "white"), ("held-out", "-", look.colour)):
        chosen = table[(table.constraint == constraint) & (table.split == split)].sort_values("strength")
        x, y = chosen.strength.to_numpy(), chosen[quantity].to_numpy()
        ax.plot(x, y, look.marker, linestyle=dash, color=look.colour, markerfacecolor=fill, markersize=5)
        both.append(y)
    if quantity == "distance" and constraint == "hard":
        ax.fill_between(x, *both, color=look.colour, alpha=0.13, linewidth=0)


def _strengths(ax: Axes, strengths: list[float]) -> None:
    """An axis that is logarithmic but for its beginning, so that 0 has its place too."""
    ax.set_xscale("asinh", linear_width=min((value for value in strengths if value > 0), default=1.0))
    ax.set_xticks(strengths, [f"{value:g}" for value in strengths])
    ax.set_xticks([], minor=True)
    ax.set_xlabel("strength λ (0: no constraint)")


def _harm(ax: Axes, table: pd.DataFrame) -> None:
    hurting = hurts_at(table)
    if not hurting:
        ax.set_title("hard hurts nowhere here")
        return
    ax.set_title(f"hard starts to hurt at λ = {hurting[0]:g}")
    held_out = table[(table.constraint == "hard") & (table.split == "held-out")].set_index("strength").error
    ax.annotate("", (hurting[0], held_out[hurting[0]]), xytext=(0, 26), textcoords="offset points",
                arrowprops={"arrowstyle": "-|>", "color": INK, "shrinkB": 4})  # fmt: skip


def _keys(table: pd.DataFrame) -> list[Line2D]:
    keys = []
    for constraint in table.constraint.unique():
        look = _look(constraint)
        for split, dash, fill in (("training", DASHED, "white"), ("held out", "-", look.colour)):
            keys.append(Line2D([], [], marker=look.marker, linestyle=dash, color=look.colour, markerfacecolor=fill,
                               markersize=5, label=f"{constraint}, {split}"))  # fmt: skip
    return keys


def _look(constraint: str) -> Style:
    return styles([METHOD[constraint]])[METHOD[constraint]]


def _in_words(table: pd.DataFrame, error: str, lines: Mapping[str, float]) -> str:
    axes, parts = {"distance": "distance", "error": error, "cka": "CKA"}, []
    for (constraint, split), rows in table.sort_values("strength").groupby(["constraint", "split"], sort=False):
        first, last = rows.iloc[0], rows.iloc[-1]
        ends = [f"{axis} {first[name]:.2f} to {last[name]:.2f}" for name, axis in axes.items()]
        parts.append(f"{constraint}, {split}: {', '.join(ends)}")
    top = f"{table.strength.max():g}"
    levels = "".join(f" {name}: distance {value:.2f}." for name, value in lines.items())
    harm = " ".join(harm_in_words(table, constraint) for constraint in table.constraint.unique())
    return f"From strength 0 to {top}. {'; '.join(parts)}.{levels} {harm}"
