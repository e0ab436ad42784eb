"""Differences seed by seed: what a method changes against a baseline that saw the same seed."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from xmkd_lib.evaluation import bootstrap_interval
from xmkd_lib.plots.theme import INK, MUTED, WIDTH, Style, canvas, describe, styles, themed, wrapped

Differences = Mapping[str, Sequence[float]]


@themed
def paired(panels: Mapping[str, Differences], baseline: str, axis: str, lower_is_better: bool = True) -> Figure:
    """Dots per seed, mean and 95 % interval, of each method minus the baseline.

    panels: title -> method -> differences (one per common seed, in the axis's unit); all panels share methods.
    axis: what differs, with its unit.
    """
    labels = list(dict.fromkeys(label for methods in panels.values() for label in methods))
    height = 1.35 + 0.46 * max(len(labels), 2)
    figure, axes = canvas(1, len(panels), WIDTH, height, sharex=True, sharey=True)
    for ax, (title, methods) in zip(axes, panels.items(), strict=True):
        _rows(ax, labels, methods, styles(labels))
        sides = ("← better", "worse →") if lower_is_better else ("← worse", "better →")
        for x, side, where in ((0, sides[0], "left"), (1, sides[1], "right")):
            ax.text(x, 1.0, side, transform=ax.transAxes, ha=where, va="bottom", color=MUTED, fontsize=8.5)
        ax.set_title(title, pad=16)
    figure.supxlabel(f"{axis}, method − {baseline}", fontsize=9.5)
    return describe(figure, _in_words(panels, baseline, axis), _as_table(panels))


def _rows(ax: Axes, labels: Sequence[str], methods: Differences, look: Mapping[str, Style]) -> None:
    ax.axvline(0, color=INK, linewidth=0.9, zorder=1)
    for row, label in enumerate(labels):
        values = np.asarray(methods.get(label, ()), dtype=float)
        if not values.size:
            ax.text(0, row, " no common seed", color=MUTED, va="center", fontsize=8.5)
            continue
        spread = np.linspace(-0.13, 0.13, values.size) if values.size > 1 else np.zeros(1)
        ax.plot(values, row + 0.22 + spread * 0.5, ".", color=look[label].colour, alpha=0.45, markersize=5)
        low, high = bootstrap_interval(values)
        ax.plot([low, high], [row - 0.1] * 2, color=look[label].colour, linewidth=2.4, solid_capstyle="butt")
        marker = {"marker": look[label].marker, "markeredgecolor": "white", "markeredgewidth": 0.7}
        ax.plot(values.mean(), row - 0.1, color=look[label].colour, markersize=8, **marker)
    ax.set_yticks(range(len(labels)), map(wrapped, labels))
    ax.set_ylim(len(labels) - 0.45, -0.55)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    ax.margins(x=0.08)


def _as_table(panels: Mapping[str, Differences]) -> pd.DataFrame:
    rows = [
        (title, method, np.mean(values), *bootstrap_interval(np.asarray(values, dtype=float)), len(values))
        for title, methods in panels.items()
        for method, values in methods.items()
        if len(values)
    ]
    return pd.DataFrame(rows, columns=["panel", "method", "mean", "low", "high", "seeds"])


def _in_words(panels: Mapping[str, Differences], baseline: str, axis: str) -> str:
    parts = []
    for title, methods in panels.items():
        means = [f"{label} {np.mean(values):+.2f}" for label, values in methods.items() if len(values)]
        parts.append(f"{title}: {', '.join(means) or 'no common seeds'}")
    return f"Mean paired difference in {axis}, method minus {baseline}. {'; '.join(parts)}."
