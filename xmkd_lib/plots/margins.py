"""The error against the margin, with the margin that was measured before training."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from xmkd_lib.evaluation import bootstrap_interval
from xmkd_lib.plots.theme import INK, MUTED, WIDTH, canvas, describe, styles, themed

Values = Sequence[float]


@themed
def margin_curve(
    panels: Mapping[str, Mapping[float, Values]],
    auto: Mapping[str, Values],
    measured: Values,
    axis: str,
    method: str = "soft_feature",
    setting: str = "margin",
) -> Figure:
    """A metric against a fixed margin, mean and 95 % interval over seeds; the auto margin beside it.

    panels: epoch -> margin -> values, one a seed. auto: epoch -> values of the runs with the auto margin, and
    `measured` their margins: the band shows where these lie, its line their mean. axis: the metric with its unit.
    setting: what the margin is of, in words.
    """
    figure, axes = canvas(1, max(len(panels), 1), WIDTH, 3.2, sharey=True)
    look = styles([method])[method]
    for ax, (epoch, curve) in zip(axes, panels.items(), strict=False):
        curve = {margin: values for margin, values in curve.items() if len(values)}
        margins = sorted(curve)
        means = [float(np.mean(curve[margin])) for margin in margins]
        ax.plot(margins, means, color=look.colour, marker=look.marker, markersize=5, label="fixed margin")
        _whiskers(ax, margins, [curve[margin] for margin in margins], look.colour)
        if len(measured):
            _mark(ax, measured, auto.get(epoch, ()))
        ax.set(xlabel=setting, title=epoch)
        ax.grid(axis="y")
    axes[0].set_ylabel(axis)
    axes[-1].legend(fontsize=8.5)
    return describe(figure, _in_words(panels, auto, measured, axis), _as_table(panels, auto, measured))


def _mark(ax: Axes, measured: Values, values: Values) -> None:
    centre = float(np.mean(measured))
    ax.axvspan(min(measured), max(measured), color=MUTED, alpha=0.18, linewidth=0)
    ax.axvline(centre, color=MUTED, linewidth=0.9, linestyle=":")
    right = centre < float(np.mean(ax.get_xlim()))  # where there is room
    ax.annotate(
        "auto margin,\nmeasured before", (max(measured) if right else min(measured), 1),
        xycoords=("data", "axes fraction"), xytext=(4 if right else -4, -3), textcoords="offset points",
        va="top", ha="left" if right else "right", fontsize=8, color=MUTED,
    )  # fmt: skip
    if len(values):
        _whiskers(ax, [centre], [values], INK)
        ax.plot(centre, float(np.mean(values)), "*", color=INK, markersize=11, linestyle="", label="auto margin")


def _whiskers(ax: Axes, x: Sequence[float], samples: Sequence[Values], colour: str) -> None:
    bounds = np.array([bootstrap_interval(values) for values in samples]).reshape(-1, 2)
    ax.vlines(x, bounds[:, 0], bounds[:, 1], color=colour, linewidth=1.2)


def _as_table(
    panels: Mapping[str, Mapping[float, Values]], auto: Mapping[str, Values], measured: Values
) -> pd.DataFrame:
    rows = [(epoch, "fixed", margin, curve[margin]) for epoch, curve in panels.items() for margin in sorted(curve)]
    rows += [(epoch, "auto", float(np.mean(measured)), values) for epoch, values in auto.items() if len(measured)]
    rows = [
        (epoch, kind, margin, np.mean(values), *bootstrap_interval(values))
        for epoch, kind, margin, values in rows
        if len(values)
    ]
    return pd.DataFrame(rows, columns=["epoch", "kind", "margin", "mean", "low", "high"])


def _in_words(
    panels: Mapping[str, Mapping[float, Values]], auto: Mapping[str, Values], measured: Values, axis: str
) -> str:
    parts = []
    for epoch, curve in panels.items():
        means = ", ".join(
            f"{np.mean(curve[margin]):.2f} at {margin:g}" for margin in sorted(curve) if len(curve[margin])
        )
        own = f"; {np.mean(auto[epoch]):.2f} at the auto margin" if len(auto.get(epoch, ())) else ""
        parts.append(f"{epoch}: {means or 'nothing'}{own}")
    where = f" The auto margin is {np.mean(measured):.2f} on average." if len(measured) else ""
    return f"Mean {axis} by margin. {'. '.join(parts)}.{where}"
