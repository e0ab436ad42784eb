"""Two spaces side by side, with one choice linked in both."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from xmkd_lib.explore.projection import Projection
from xmkd_lib.explore.spaces import View
from xmkd_lib.plots.theme import INK, WIDTH, Style, canvas, describe, themed

# of the named classes, the chosen sample's first; any two differ in colour and marker
NAMED = (Style("#d55e00", "s"), Style("#0072b2", "^"), Style("#00815f", "P"), Style("#b0558a", "X"))
REST = Style("#b3b8c0", "o")


@themed
def spaces(view: View) -> Figure:
    """The view's projections as scatters. Open markers: training split; filled: the chosen one. Ring: the choice.

    Where distances can be compared (PCA of unit vectors), both panels have the same scale: a collapsed space is a dot.
    """
    figure, axes = canvas(1, len(view.panels), WIDTH, 4.7)
    figure.set_layout_engine(None)  # a slider waits for this figure, and all its texts are short: no need to measure
    figure.subplots_adjust(left=0.065, right=0.99, top=0.94, bottom=0.18, wspace=0.17)
    look = dict(zip(view.named, NAMED, strict=False))
    for ax, (title, projection) in zip(axes, view.panels.items(), strict=True):
        for name, style in {None: REST, **dict(reversed(look.items()))}.items():  # the choice on top
            _class(ax, projection.points, view, name, style)
        _ring(ax, projection.points[view.chosen], view.named[0])
        ax.set(title=title, xlabel=projection.axes[0], ylabel=projection.axes[1])
        ax.tick_params(labelsize=8)
    _scale(axes, list(view.panels.values()))
    figure.legend(handles=_keys(view, look), loc="lower center", ncols=len(look) + 3, fontsize=8.5)
    return describe(figure, _in_words(view), _as_table(view))


def _class(ax: Axes, points: np.ndarray, view: View, name: str | None, style: Style) -> None:
    """One class, or with None all that are not named; open markers first."""
    own = ~np.isin(view.names, view.named) if name is None else view.names == name
    size, width = (9, 0.5) if name is None else (38, 1.2)
    for training, fill in ((True, "none"), (False, style.colour)):
        chosen = points[own & (view.training == training)]
        if len(chosen):
            ax.scatter(
                *chosen.T, s=size, marker=style.marker, facecolors=fill, edgecolors=style.colour, linewidths=width
            )


def _ring(ax: Axes, point: np.ndarray, name: str) -> None:
    ax.scatter(*point, s=230, marker="o", facecolors="none", edgecolors=INK, linewidths=1.6, zorder=5)
    box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "alpha": 0.8, "linewidth": 0}
    ax.annotate(
        name, point, (0, 13), textcoords="offset points", ha="center", fontsize=9, fontweight="bold", bbox=box, zorder=6
    )


def _scale(axes: list[Axes], projections: list[Projection]) -> None:
    if all(projection.metric for projection in projections):
        most = 1.12 * max(np.abs(projection.points).max() for projection in projections)
        for ax in axes:
            ax.set(xlim=(-most, most), ylim=(-most, most), aspect="equal")
            ax.locator_params(nbins=3)  # of all parts of a figure, tick labels cost most time, and a slider has to wait
    else:
        for ax in axes:
            ax.margins(0.1)
            ax.set(xticks=[], yticks=[])


def _keys(view: View, look: dict[str, Style]) -> list[Line2D]:
    def key(label: str, style: Style, fill: str) -> Line2D:
        marks = {"marker": style.marker, "color": style.colour, "markerfacecolor": fill}
        return Line2D([], [], linestyle="", label=label, **marks)

    keys = [key(name, style, style.colour) for name, style in look.items()] + [key("others", REST, REST.colour)]
    ink = Style(INK, "o")
    if view.training.any():
        keys.append(key("open: training", ink, "none"))
    if not view.training.all():
        keys.append(key("filled: held out", ink, INK))
    return keys


def _as_table(view: View) -> pd.DataFrame:
    columns = {f"{title}, {axis}": projection.points[:, place] for title, projection in view.panels.items()
               for place, axis in enumerate(("x", "y"))}  # fmt: skip
    known = pd.DataFrame({"class": view.names, "training": view.training})
    return known.assign(chosen=known.index == view.chosen, **columns)


def _in_words(view: View) -> str:
    own = view.names == view.names[view.chosen]
    parts = [
        f"{title}: the {own.sum()} points of {view.named[0]} lie {_radius(projection.points[own]):.2f} from their "
        f"centre on average, all points {_radius(projection.points):.2f} from theirs"
        for title, projection in view.panels.items()
    ]
    way = "PCA" if all(projection.metric for projection in view.panels.values()) else "UMAP"
    return f"{len(own)} embeddings in two dimensions by {way}. {'; '.join(parts)}. {view.text}"


def _radius(points: np.ndarray) -> float:
    return float(np.linalg.norm(points - points.mean(0), axis=1).mean())
