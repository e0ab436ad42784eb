"""Curves over training: a small panel per method, with the baseline behind each for comparison."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from xmkd_lib.evaluation import bootstrap_interval
from xmkd_lib.plots.theme import INK, WIDTH, Style, canvas, describe, styles, themed, wrapped

Lines = Mapping[str, pd.DataFrame]
GREY = "#9a9a9a"


@themed
def curves(series: Mapping[str, Lines], axis: str, reference: str | Mapping[str, str] = "none") -> Figure:
    """Mean over seeds and its 95 % bootstrap band against the epoch.

    series: method -> line (such as "validation") -> table with a row per epoch (the index) and a column per
    seed; nan where a seed has no value. The first line is drawn solid, a second dashed. reference: the method that is
    drawn in grey behind the others, or method -> its reference where that differs; unknown ones are left out.
    """
    names = list(dict.fromkeys(name for lines in series.values() for name in lines))
    columns = min(3 if len(series) in (5, 6, 9) else 4, max(len(series), 1))
    rows = -(-len(series) // columns)
    figure, axes = canvas(rows, columns, WIDTH, 0.7 + 1.95 * rows, sharex=True, sharey=True)
    for ax in axes[len(series) :]:
        ax.set_visible(False)
    look = styles(series)
    behind = dict.fromkeys(series, reference) if isinstance(reference, str) else reference
    behind = {label: series[base] for label, base in behind.items() if base in series and base != label}
    for ax, (label, lines) in zip(axes, series.items(), strict=False):
        for dash, name in zip(("-", (0, (4, 1.5))), names, strict=False):
            if name in behind.get(label, ()):
                ax.plot(behind[label][name].mean(axis=1), color=GREY, linestyle=dash, linewidth=1.1)
            if name in lines:
                _line(ax, lines[name], look[label], dash)
        ax.set_title(wrapped(label), fontsize=9)
        ax.grid(axis="y")
        ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    keys = [
        Line2D([], [], color=INK, linestyle=dash, label=name) for dash, name in zip(("-", "--"), names, strict=False)
    ]
    if behind:
        keys.append(Line2D([], [], color=GREY, linewidth=1.1, label="for comparison"))
    figure.legend(handles=keys, loc="outside upper right", ncols=3, fontsize=8.5)
    for place, ax in enumerate(axes[: len(series)]):
        if place % columns == 0:
            ax.set_ylabel(axis)
        if place + columns >= len(series):
            ax.set_xlabel("epoch")
            ax.tick_params(labelbottom=True)
    return describe(figure, _in_words(series, axis), _as_table(series))


def _line(ax: Axes, table: pd.DataFrame, look: Style, dash: str | tuple) -> None:
    table, colour = table.dropna(how="all"), look.colour
    bands = np.array([bootstrap_interval(row.dropna(), resamples=1000) for _, row in table.iterrows()])
    if len(table):
        ax.fill_between(table.index, bands[:, 0], bands[:, 1], color=colour, alpha=0.18, linewidth=0)
        ax.plot(table.index, table.mean(axis=1), color=colour, linestyle=dash, marker=look.marker, markevery=[-1])


def _as_table(series: Mapping[str, Lines]) -> pd.DataFrame:
    means = {(label, name): table.mean(axis=1) for label, lines in series.items() for name, table in lines.items()}
    table = pd.DataFrame(means).rename_axis("epoch")
    return table.rename_axis(["method", "line"], axis="columns") if means else table


def _in_words(series: Mapping[str, Lines], axis: str) -> str:
    ends = [
        f"{label} {name} {table.mean(axis=1).dropna().iloc[0]:.2f} to {table.mean(axis=1).dropna().iloc[-1]:.2f}"
        for label, lines in series.items()
        for name, table in lines.items()
        if table.notna().to_numpy().any()
    ]
    return f"{axis} against the epoch, mean over seeds, from the first epoch to the last: {', '.join(ends)}."
