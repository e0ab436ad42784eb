"""A constraint in the plane of embeddings: the field, one sample's descent, and what it is worth on new data."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from xmkd_lib.explore.landscape import Landscape, landscape_in_words
from xmkd_lib.plots.theme import INK, MUTED, WIDTH, canvas, describe, styles, themed

HARD, SOFT = styles(["hard_feature", "soft_feature"]).values()
LEVELS = (0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32)  # of the field above its lowest point


@themed
def landscape(found: Landscape) -> Figure:
    """Left: the shown sample's objective as a field, its descent, its teacher's point and the margin's disc.

    Crosses are all training samples' teacher points, dots where their embeddings end. Right: the median squared
    distance to the teacher against the margin, on training and on new samples; the auto margin is marked on the axis,
    and as the floor that the best linear guess leaves. Diamonds: the chosen margin. "hard" has the hinge's curve.
    """
    figure, axes = canvas(1, 2, WIDTH, 4.0, width_ratios=(1.15, 1))
    figure.set_layout_engine(None)  # half of the drawing time, and a slider waits for it
    figure.subplots_adjust(left=0.03, right=0.985, bottom=0.22, top=0.92, wspace=0.12)
    _plane(axes[0], found)
    _curves(axes[1], found)
    figure.legend(handles=axes[0].get_legend_handles_labels()[0], loc="lower left", ncols=5, fontsize=8)
    return describe(figure, landscape_in_words(found), _as_table(found))


def _plane(ax: Axes, found: Landscape) -> None:
    look = HARD if found.constraint == "hard" else SOFT
    reach = found.axis[-1]
    bands = np.digitize(found.field - found.field.min(), LEVELS)  # an image: drawn ten times as fast as contours
    ax.imshow(bands, cmap="Greys", vmin=0, vmax=20, origin="lower", extent=(-reach, reach, -reach, reach))
    t, sample = found.toy.train.numpy(), found.toy.shown
    ax.plot(*t.T, "x", color=MUTED, markersize=4, markeredgewidth=0.8, label="teacher's points (c, u)")
    ax.plot(*found.ends.T, look.marker, color=look.colour, markersize=3.5, mec="white", mew=0.4, label="students' ends")
    ax.plot(*found.path.T, "-", color=INK, linewidth=1.4)
    ax.plot(*found.path[:-1:3].T, ".", color=INK, markersize=4, label="one sample's descent")
    ax.plot(*t[sample], "X", color=INK, markersize=9, mec="white", label="its teacher's point")
    ax.plot(t[sample, 0], t[:, 1].mean(), "*", color="white", mec=INK, markersize=11, label="best guess (c, mean u)")
    ax.add_patch(Circle(t[sample], found.margin**0.5, fill=False, color=look.colour, linewidth=1.6, linestyle="--"))
    ax.set(xlabel="c: what the student's input tells", ylabel="u: what it does not tell")
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=(-2, 0, 2), yticks=(-2, 0, 2))
    ax.set_title(f"{found.constraint}, margin {found.margin:.2f}")


def _curves(ax: Axes, found: Landscape) -> None:
    auto = found.toy.auto_margin
    ax.axhline(auto, color=MUTED, linewidth=1, linestyle="--")
    ax.axvline(auto, color=MUTED, linewidth=1, linestyle=":")
    ax.annotate("auto margin", (auto, 1), xycoords=("data", "axes fraction"), xytext=(4, -2),
                textcoords="offset points", va="top", fontsize=8, color=MUTED)  # fmt: skip
    ax.annotate("floor: best linear guess", (1, auto), xycoords=("axes fraction", "data"), xytext=(0, -3),
                textcoords="offset points", va="top", ha="right", fontsize=8, color=MUTED)  # fmt: skip
    ends = {"new": (found.new_distances, found.new_distance, "-", SOFT.colour),
            "training": (found.train_distances, found.train_distance, (0, (4, 1.5)), "white")}  # fmt: skip
    for name, (values, now, dash, fill) in ends.items():
        ax.plot(found.margins, values, color=SOFT.colour, linestyle=dash, marker="o", mfc=fill, ms=4, label=name)
        ax.plot(found.margin, now, "D", color=INK, mfc=INK if name == "new" else "white", ms=8, clip_on=False)
    ax.set(xlabel="margin (squared distance)", ylabel="median squared distance to the teacher", ylim=(0, None))
    mode = "hinge" if found.constraint == "hard" else found.constraint
    ax.set(title=f"{mode}: training and new samples", xticks=range(4))
    ax.grid(axis="y")
    ax.legend(fontsize=8, loc="lower right", title="samples (diamond: chosen)", title_fontsize=8)


def _as_table(found: Landscape) -> pd.DataFrame:
    rows = [*zip(found.margins, found.train_distances, found.new_distances, strict=True)]
    rows = sorted({*rows, (found.margin, found.train_distance, found.new_distance)})
    return pd.DataFrame(rows, columns=["margin", "training", "new"]).assign(floor=found.toy.auto_margin)
