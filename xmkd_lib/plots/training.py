"""One run over its epochs: what training and held-out data say."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from xmkd_lib.plots.theme import INK, MUTED, canvas, describe, styles, themed


@themed
def training(curves: Mapping[str, Sequence[float]], best_epoch: float, method: str) -> Figure:
    """EER and distance to the teacher against the epoch, on training and on validation data, for one run.

    curves: a value per evaluated epoch, as in `Result.curves`; EER as a share, distance as the mean squared distance
    of unit vectors. A vertical line marks the validation-chosen epoch.
    """
    figure, axes = canvas(1, 2, 8.6, 3.0)
    look, epochs = styles([method])[method], curves["epoch"]
    panels = (("eer", "EER (%)", 100), ("distance", "squared distance to the teacher", 1))
    for ax, (name, axis, factor) in zip(axes, panels, strict=True):
        for split, dash, marker in (("train", (0, (4, 1.5)), "o"), ("val", "-", look.marker)):
            values = [factor * value for value in curves[f"{split}_{name}"]]
            label = "training" if split == "train" else "validation"
            filled = look.colour if split == "val" else "white"
            ax.plot(epochs, values, color=look.colour, linestyle=dash, marker=marker, mfc=filled, ms=4, label=label)
        ax.axvline(best_epoch, color=MUTED, linewidth=0.9, linestyle=":")
        ax.set(xlabel="epoch", ylabel=axis, ylim=(0, None))
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        ax.grid(axis="y")
    axes[0].annotate(
        "chosen on validation", (best_epoch, 1), xycoords=("data", "axes fraction"), xytext=(4, -3),
        textcoords="offset points", va="top", fontsize=8, color=MUTED,
    )  # fmt: skip
    axes[1].legend(labelcolor=INK)
    figure.suptitle(method)
    ends = ", ".join(f"{name.replace('_', ' ')} {curves[name][0]:.3f} to {curves[name][-1]:.3f}"
                     for name in ("train_eer", "val_eer", "train_distance", "val_distance"))  # fmt: skip
    return describe(figure, f"{method} over {epochs[-1]:.0f} epochs, first to last evaluated: {ends}.")
