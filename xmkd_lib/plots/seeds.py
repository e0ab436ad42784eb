"""Every seed of every method at a glance: outliers and holes that a mean hides."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from xmkd_lib.errors import optional
from xmkd_lib.plots.theme import MUTED, WIDTH, canvas, describe, themed, wrapped

READABLE = 15  # seeds whose numbers still fit into their cells


@themed
def seed_map(differences: pd.DataFrame, axis: str, lower_is_better: bool = True) -> Figure:
    """A cell per method and seed, orange where worse than the baseline, violet where better; up to 15 in numbers.

    differences: a row per method, a column per seed, in the axis's unit; nan where a run is missing.
    """
    seaborn = optional("seaborn", "seaborn", "A map of seeds")
    rows, columns = differences.shape
    figure, (ax,) = canvas(1, 1, min(WIDTH, 2.6 + 0.62 * columns), 1.0 + 0.34 * max(rows, 2))
    values = differences.to_numpy(dtype=float)
    limit = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 0
    seaborn.heatmap(
        differences.astype(float).rename(index=wrapped),
        ax=ax,
        center=0,
        vmin=-(limit or 1),
        vmax=limit or 1,
        cmap="PuOr_r" if lower_is_better else "PuOr",
        annot=columns <= READABLE,
        fmt="+.1f" if limit >= 1 else "+.2f",
        annot_kws={"fontsize": 8.5},
        linewidths=1.2,
        cbar_kws={"label": axis.replace(" − ", "\n− "), "shrink": 0.9},
    )
    ax.set_xlabel("seed")
    ax.set_ylabel("")
    ax.tick_params(axis="y", rotation=0, length=0)
    ax.tick_params(axis="x", rotation=0, length=0)
    for row, column in np.argwhere(np.isnan(values)):
        ax.text(column + 0.5, row + 0.5, "missing", ha="center", va="center", color=MUTED, fontsize=7.5)
    worse = (values > 0 if lower_is_better else values < 0).sum(axis=1)
    counts = [
        f"{name} in {k} of {n}" for name, k, n in zip(differences.index, worse, np.isfinite(values).sum(1), strict=True)
    ]
    return describe(figure, f"{axis} for every seed. Worse than the baseline: {', '.join(counts)} seeds.", differences)
