"""The overfitting gap: how far a method's test value lies from its training value."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from xmkd_lib.evaluation import bootstrap_interval
from xmkd_lib.plots.theme import WIDTH, Style, canvas, describe, styles, themed, wrapped

QUANTITIES = (("eer", "EER (%)", 100), ("distance", "squared distance to the teacher", 1))
Pair = tuple[Sequence[float], Sequence[float]]


@themed
def gap(panels: Mapping[tuple[str, str], Mapping[str, Pair]]) -> Figure:
    """Open marker: training; filled: test; the bar between is the gap. Whiskers: 95 % interval over seeds.

    panels: (epoch, axis with unit) -> method -> (training values, test values), one value per seed. Epochs
    become rows, axes columns.
    """
    epochs = list(dict.fromkeys(epoch for epoch, _ in panels))
    quantities = list(dict.fromkeys(axis for _, axis in panels))
    labels = list(dict.fromkeys(label for methods in panels.values() for label in methods))
    height = len(epochs) * (0.75 + 0.3 * max(len(labels), 2)) + 0.35
    figure, axes = canvas(len(epochs), len(quantities), WIDTH, height, sharex="col", sharey=True)
    look = styles(labels)
    for ax, (epoch, axis) in zip(axes, ((e, q) for e in epochs for q in quantities), strict=True):
        for row, label in enumerate(labels):
            if label in (methods := panels.get((epoch, axis), {})):
                _dumbbell(ax, row, methods[label], look[label])
        ax.set_yticks(range(len(labels)), map(wrapped, labels))
        ax.set_ylim(len(labels) - 0.4, -0.6)
        ax.tick_params(axis="y", length=0)
        ax.set_title(f"{axis.split(' (')[0]}, {epoch}")
        ax.grid(axis="x")
        if epoch == epochs[-1]:
            ax.set_xlabel(axis)
    return describe(figure, _in_words(panels), _as_table(panels))


def gap_of(metrics: Mapping[str, Mapping[str, float]]) -> Figure:
    """`gap` of single runs: EER and squared distance to the teacher, at the last epoch and at the chosen one.

    metrics: method -> metrics of a `Result`.
    """
    panels = {}
    for suffix, epoch in (("", "last epoch"), ("_best", "chosen epoch")):
        for name, axis, factor in QUANTITIES:
            panels[epoch, axis] = {
                method: tuple([factor * found[f"{split}_{name}{suffix}"]] for split in ("train", "test"))
                for method, found in metrics.items()
            }
    return gap(panels)


def _dumbbell(ax: Axes, row: int, pair: Pair, look: Style) -> None:
    means = [float(np.mean(values)) if len(values) else np.nan for values in pair]
    ax.plot(means, [row, row], color=look.colour, linewidth=4, alpha=0.28, solid_capstyle="butt")
    for mean, values, fill in zip(means, pair, ("white", look.colour), strict=True):
        ax.plot(bootstrap_interval(values), [row, row], color=look.colour, linewidth=1.3)
        ax.plot(mean, row, look.marker, color=look.colour, markerfacecolor=fill, markersize=6.5, clip_on=False)


def _as_table(panels: Mapping[tuple[str, str], Mapping[str, Pair]]) -> pd.DataFrame:
    rows = [
        (epoch, axis, method, *(np.mean(values) if len(values) else np.nan for values in pair))
        for (epoch, axis), methods in panels.items()
        for method, pair in methods.items()
    ]
    return pd.DataFrame(rows, columns=["epoch", "quantity", "method", "training", "test"])


def _in_words(panels: Mapping[tuple[str, str], Mapping[str, Pair]]) -> str:
    parts = []
    for (epoch, axis), methods in panels.items():
        means = [
            f"{label} {np.mean(train):.2f} and {np.mean(test):.2f}"
            for label, (train, test) in methods.items()
            if len(train) and len(test)
        ]
        parts.append(f"{axis}, {epoch}: {', '.join(means) or 'nothing'}")
    return f"Mean training and test value per method. {'; '.join(parts)}."
