"""A metric against the strength of a disturbance, a line per method."""

import pandas as pd
from matplotlib.figure import Figure

from xmkd_lib.plots.theme import DASHES, canvas, describe, styles, themed


@themed
def robustness(table: pd.DataFrame, axis: str, falling: bool = True) -> Figure:
    """Lines of a metric against a level, such as the EER against the SNR of added noise.

    table: a row per level (the index, its name with the unit), a column per method. axis: the metric with its unit.
    falling: levels fall to the right, as those of an SNR do when noise grows.
    """
    figure, (ax,) = canvas(1, 1, 6.4, 3.4)
    look = styles(table.columns)
    for place, name in enumerate(table.columns):
        style, dash = look[name], DASHES[place % len(DASHES)]
        ax.plot(table.index, table[name], color=style.colour, marker=style.marker, linestyle=dash, ms=6, label=name)
    ax.set(xlabel=table.index.name, ylabel=axis, ylim=(0, None))
    if falling:
        ax.invert_xaxis()
    ax.grid(axis="y")
    ax.legend()
    first, last = table.sort_index(ascending=not falling).iloc[[0, -1]].itertuples(index=False)
    ends = [f"{name} {start:.1f} to {end:.1f}" for name, start, end in zip(table.columns, first, last, strict=True)]
    return describe(
        figure, f"{axis} against {table.index.name}, from the weakest to the strongest: {', '.join(ends)}.", table
    )
