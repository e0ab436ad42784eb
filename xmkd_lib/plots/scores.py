"""The scores of trials: target and non-target histograms, with the threshold of the equal error rate."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from xmkd_lib.evaluation import det_curve, eer
from xmkd_lib.plots.theme import INK, WIDTH, canvas, describe, themed, wrapped

BINS = np.linspace(-1, 1, 61)
# colour and hatching of each kind of trial
KINDS = {"same": ("#0072b2", "////"), "different": ("#d55e00", "....")}
Trials = tuple[np.ndarray, np.ndarray]


@themed
def score_histogram(trials: Mapping[str, Trials]) -> Figure:
    """Cosine scores of same-class (target) and different-class pairs, each area 1, a panel per space.

    trials: space -> scores (T,) in [-1, 1] and targets (T,) bool. The line is the EER's threshold: what lies left of it
    of the same-class pairs is missed, what lies right of it of the others is a false alarm. UserError as in `eer`.
    """
    columns = min(4, max(len(trials), 1))
    rows = -(-len(trials) // columns)
    figure, axes = canvas(rows, columns, WIDTH, 0.6 + 2.1 * rows, sharex=True, sharey=True)
    for ax in axes[len(trials) :]:
        ax.set_visible(False)
    found = []
    for place, (ax, (name, (scores, targets))) in enumerate(zip(axes, trials.items(), strict=False)):
        threshold, error = det_curve(scores, targets).eer_threshold, eer(scores, targets)
        found.append((name, 100 * error, threshold, scores[targets].mean(), scores[~targets].mean()))
        _panel(ax, scores, targets, threshold)
        ax.set_title(f"{wrapped(name)}\nEER {100 * error:.1f} %", fontsize=9)
        ax.set_xlabel("cosine" if place + columns >= len(trials) else "")
        ax.tick_params(labelbottom=place + columns >= len(trials))
        ax.set_ylabel("density" if place % columns == 0 else "")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8.5)
    table = pd.DataFrame(found, columns=["space", "EER (%)", "threshold", "mean same", "mean different"])
    return describe(figure, _in_words(table), table)


def _panel(ax: Axes, scores: np.ndarray, targets: np.ndarray, threshold: float) -> None:
    for (kind, (colour, hatch)), chosen in zip(KINDS.items(), (targets, ~targets), strict=True):
        heights, _ = np.histogram(scores[chosen], BINS, density=True)
        style = {"facecolor": (colour, 0.18), "edgecolor": colour, "hatch": hatch, "linewidth": 1.1}
        ax.stairs(heights, BINS, fill=True, label=f"{kind} class", **style)
    ax.axvline(np.clip(threshold, -1, 1), color=INK, linestyle="--", linewidth=1.2, label="threshold of the EER")
    ax.grid(axis="y")


def _in_words(table: pd.DataFrame) -> str:
    parts = [
        f"{name}: EER {error:.1f} % at cosine {threshold:.2f}, mean {same:.2f} of the same class, {other:.2f} of others"
        for name, error, threshold, same, other in table.itertuples(index=False)
    ]
    return f"Histograms of cosine scores. {'; '.join(parts)}."
