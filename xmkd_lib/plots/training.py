"""One run over its epochs: what training and held-out data say."""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from xmkd_lib.plots.theme import INK, MUTED, canvas, describe, styles, themed


@themed
def training(curves: Mapping[str, Sequence[float]], best_epoch: float | None, method: str) -> Figure:
    """What decides (accuracy where there is one, else EER) and the distance to the teacher by epoch, of one run.

    curves: a value per evaluated epoch, training and validation, as in `Result.curves`; EER and accuracy as shares,
    distance as the mean squared distance of unit vectors. A vertical line marks the validation-chosen epoch, if any.
    """
    figure, axes = canvas(1, 2, 8.6, 3.0)
    look, epochs = styles([method])[method], curves["epoch"]
    judged = ("accuracy", "accuracy (%)", 100) if "val_accuracy" in curves else ("eer", "EER (%)", 100)
    panels = (judged, ("distance", "squared distance to the teacher", 1))
    for ax, (name, axis, factor) in zip(axes, panels, strict=True):
        for split, dash, marker in (("train", (0, (4, 1.5)), "o"), ("val", "-", look.marker)):
            values = [factor * value for value in curves[f"{split}_{name}"]]
            label = "training" if split == "train" else "validation"
            filled = look.colour if split == "val" else "white"
            ax.plot(epochs, values, color=look.colour, linestyle=dash, marker=marker, mfc=filled, ms=4, label=label)
        ax.set(xlabel="epoch", ylabel=axis, ylim=(0, None))
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        ax.grid(axis="y")
    if best_epoch is not None:
        for ax in axes:
            ax.axvline(best_epoch, color=MUTED, linewidth=0.9, linestyle=":")
        axes[0].annotate(
            "chosen on validation", (best_epoch, 1), xycoords=("data", "axes fraction"), xytext=(4, -3),
            textcoords="offset points", va="top", fontsize=8, color=MUTED,
        )  # fmt: skip
    axes[1].legend(labelcolor=INK)
    figure.suptitle(method)
    shown = [f"{split}_{name}" for name, *_ in panels for split in ("train", "val")]
    table = pd.DataFrame({name: curves[name] for name in shown}, index=pd.Index(epochs, name="epoch"))
    ends = ", ".join(f"{name.replace('_', ' ')} {curves[name][0]:.3f} to {curves[name][-1]:.3f}" for name in shown)
    return describe(figure, f"{method} over {epochs[-1]:.0f} epochs, first to last evaluated: {ends}.", table)
