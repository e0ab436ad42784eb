"""Detection error trade-off: misses against false alarms at all thresholds."""

from collections.abc import Mapping
from types import ModuleType

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from xmkd_lib.errors import optional
from xmkd_lib.evaluation import DetCurve, det_curve, eer
from xmkd_lib.plots.scores import Trials
from xmkd_lib.plots.theme import DASHES, MUTED, Style, canvas, describe, styles, themed

LOW, HIGH = 0.002, 0.97  # ends of both axes
TICKS = (0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95)
READ_OFF = (0.01, 0.05, 0.1, 0.2, 0.4)  # false-alarm rates of the table


@themed
def det(trials: Mapping[str, Trials]) -> Figure:
    """DET curves (Martin et al., 1997) with the point of each EER, both axes in normal deviates: lower left is better.

    trials: space -> scores (T,) and targets (T,) bool. Normally distributed scores give a straight line. Curves end at
    the axes, at rates of 0.2 % and 97 %; an EER beyond them is marked at the rim. UserError as in `eer`.
    """
    figure, (ax,) = canvas(1, 1, 6.0, 4.8)
    look, found = styles(trials), []
    for place, (name, (scores, targets)) in enumerate(trials.items()):
        curve, error = det_curve(scores, targets), eer(scores, targets)
        found.append([name, 100 * error, *(100 * _misses(curve, np.array(READ_OFF)))])
        _line(ax, f"{name}, EER {100 * error:.1f} %", curve, error, look[name], DASHES[place % len(DASHES)])
    _axes(ax)
    ax.legend(fontsize=8.5, loc="upper right", frameon=True, framealpha=0.9, edgecolor="none")
    columns = ["space", "EER (%)", *(f"misses at {100 * rate:g} % false alarms (%)" for rate in READ_OFF)]
    table = pd.DataFrame(found, columns=columns)
    return describe(figure, _in_words(table), table)


def _normal() -> ModuleType:
    return optional("scipy.special", "scipy", "A DET curve")


def _misses(curve: DetCurve, false_alarm: np.ndarray) -> np.ndarray:
    """Miss rates at given false-alarm rates: on the straight lines between thresholds, as the EER is."""
    return np.interp(false_alarm, curve.false_alarm[::-1], curve.miss[::-1])


def _line(ax: Axes, label: str, curve: DetCurve, error: float, look: Style, dash: str | tuple) -> None:
    normal = _normal()
    ndtri = normal.ndtri
    false_alarm = normal.ndtr(np.linspace(ndtri(LOW), ndtri(HIGH), 200))
    miss = _misses(curve, false_alarm)
    miss[(miss < LOW) | (miss > HIGH)] = np.nan
    ax.plot(ndtri(false_alarm), ndtri(miss), color=look.colour, linestyle=dash)
    where = ndtri(np.clip(error, LOW, HIGH))
    marks = {"marker": look.marker, "color": look.colour, "markersize": 8, "markeredgecolor": "white"}
    ax.plot(where, where, linestyle=dash, label=label, clip_on=False, zorder=5, **marks)


def _axes(ax: Axes) -> None:
    ndtri = _normal().ndtri
    ends = ndtri([LOW, HIGH])
    ax.plot(ends, ends, color=MUTED, linewidth=0.8, linestyle=":")
    ax.text(ends[0] + 0.1, ends[0] + 0.25, "equal rates", color=MUTED, fontsize=8, rotation=45, rotation_mode="anchor")
    places, names = ndtri(TICKS), [f"{100 * rate:g}" for rate in TICKS]
    ax.set_xticks(places, names)
    ax.set_yticks(places, names)
    ax.set(xlim=ends, ylim=ends, aspect="equal", xlabel="false alarms (%)", ylabel="misses (%)")
    ax.grid()


def _in_words(table: pd.DataFrame) -> str:
    rows = table.iloc[:, [0, 1, 3]].itertuples(index=False)
    parts = [f"{name} {error:.1f} %, and {miss:.1f} % misses at 5 % false alarms" for name, error, miss in rows]
    return f"Detection error trade-off. Equal error rates: {'; '.join(parts)}."
