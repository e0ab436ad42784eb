"""Loss and gradient against the angle to the teacher, hard and soft overlaid."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from xmkd_lib.errors import UserError
from xmkd_lib.explore.profile import GROUPS, Profile, dead_zones, group, own_layers, profile_in_words, short
from xmkd_lib.plots.theme import INK, MUTED, RULE, WIDTH, canvas, describe, styles, themed

HARD, SOFT = styles(["hard_feature", "soft_feature"]).values()
QUANTITIES = {"loss": ("hard", "soft"), "gradient": ("hard_gradient", "soft_gradient")}
TICKS = (0, 60, 120, 180)
COLUMNS = 4


@themed
def profile(found: Sequence[Profile]) -> Figure:
    """A column per constraint: the loss above, its derivative by the angle (per radian) below, on one axis of degrees.

    Of a single constraint both stand side by side.

    The dead zone, where the soft constraint does not pull, is shaded; a diamond marks the margin on the hard curve.
    """
    alone = len(found) == 1
    shape = (1, 2, 7.6, 2.9) if alone else (2, len(found), min(WIDTH, 3.4 + 2.2 * len(found)), 4.1)
    figure, axes = canvas(*shape, sharex=True)
    if alone:
        figure.set_layout_engine(None)  # a third of the drawing time, and a slider waits for it
        figure.subplots_adjust(left=0.095, right=0.98, bottom=0.18, top=0.74, wspace=0.26)
    for place, one in enumerate(found):
        for ax, quantity in zip(axes[place :: len(found)], QUANTITIES, strict=True):
            _panel(ax, one, quantity)
        axes[place].set_title(_title(one, mode=True), fontsize=9.5)
        axes[place + len(found)].set_xlabel("angle to the teacher (°)")
    if alone:
        axes[0].set_xlabel("angle to the teacher (°)")
    axes[0].set_ylabel("loss")
    axes[len(found)].set_ylabel("gradient (per radian)")
    figure.legend(handles=_keys(), loc="upper right" if alone else "outside upper right", ncols=4, fontsize=8.5)
    return describe(figure, " ".join(profile_in_words(one) for one in found), _as_table(found))


@themed
def profile_overview(found: Sequence[Profile], quantity: str = "loss") -> Figure:
    """Every constraint as a small panel, grouped by what it compares: its "loss", or its "gradient" by the angle.

    Each has its own vertical axis, as each loss has its own units. A star: layers of its own, untrained.
    UserError on another quantity.
    """
    if quantity not in QUANTITIES:
        raise UserError(f"Overview of {quantity!r}. Draw one of {', '.join(QUANTITIES)}.")
    groups = {name: [one for one in found if group(one.name) == name] for name in GROUPS}
    groups = {name: members for name, members in groups.items() if members}
    starts = [(name, k) for name, members in groups.items() for k in range(0, len(members), COLUMNS)]
    rows = [(name, groups[name][k : k + COLUMNS]) for name, k in starts]
    figure, axes = canvas(len(rows), COLUMNS, WIDTH, 0.6 + 1.3 * len(rows), sharex=True)
    for place, (name, members) in enumerate(rows):
        line = axes[COLUMNS * place : COLUMNS * (place + 1)]
        for ax, one in zip(line, members, strict=False):
            _panel(ax, one, quantity)
            ax.set_title(_title(one), fontsize=8.5)
            ax.tick_params(labelsize=7.5)
            ax.locator_params(axis="y", nbins=3)
        for ax in line[len(members) :]:
            ax.set_visible(False)
        line[0].set_ylabel(name, fontsize=8.5)
    for ax in axes[-COLUMNS:]:
        ax.set_xlabel("angle to the teacher (°)", fontsize=8.5)
    unit = " (per radian)" if quantity == "gradient" else ""
    figure.suptitle(f"{quantity}{unit}, each in its own units", x=0.01, ha="left", fontsize=10)
    figure.legend(handles=_keys(), loc="outside upper right", ncols=4, fontsize=8.5)
    return describe(figure, f"The {quantity} of {len(found)} constraints by angle. {_zones(found)}", _as_table(found))


def _panel(ax: Axes, one: Profile, quantity: str) -> None:
    hard, soft = (getattr(one, name) for name in QUANTITIES[quantity])
    ax.axhline(0, color=RULE, linewidth=0.8)
    if one.margin is not None:
        for zone in dead_zones(one):
            ax.axvspan(*zone, color=MUTED, alpha=0.18, linewidth=0)
        ax.plot(one.degrees, soft, color=SOFT.colour, linewidth=2.4)
    ax.plot(one.degrees, hard, color=HARD.colour, linestyle=(0, (4, 1.5)), linewidth=1.5)
    if one.margin is not None:
        at = int(np.argmax(one.hard >= one.margin))
        if one.hard[at] >= one.margin:
            ax.plot(one.degrees[at], hard[at], "D", color=INK, markersize=5)
    ax.set_xticks(TICKS)


def _title(one: Profile, mode: bool = False) -> str:
    name = f"{one.name} *" if own_layers(one.name) else one.name
    margin = "no margin" if one.margin is None else f"m = {short(one.margin)}"
    return f"{name}\n{one.mode}, {margin}" if mode and one.margin is not None else f"{name}, {margin}"


def _keys() -> list[Line2D | Patch]:
    return [
        Line2D([], [], color=HARD.colour, linestyle=(0, (4, 1.5)), linewidth=1.5, label="hard"),
        Line2D([], [], color=SOFT.colour, linewidth=2.4, label="soft"),
        Line2D([], [], color=INK, marker="D", linestyle="", markersize=5, label="margin"),
        Patch(color=MUTED, alpha=0.18, label="dead zone"),
    ]


def _zones(found: Sequence[Profile]) -> str:
    parts = []
    for one in found:
        zones = ", ".join(f"{low} to {high}°" for low, high in dead_zones(one)) if one.margin is not None else ""
        parts.append(f"{one.name} {zones or 'none'}")
    return f"Dead zones: {'; '.join(parts)}."


def _as_table(found: Sequence[Profile]) -> pd.DataFrame:
    columns = ["hard", "hard_gradient", "soft", "soft_gradient"]
    tables = [
        pd.DataFrame({"constraint": one.name, "mode": one.mode, "margin": one.margin, "degrees": one.degrees}
                     | {name: getattr(one, name) for name in columns})
        for one in found
    ]  # fmt: skip
    return pd.concat([table.astype({"margin": float}) for table in tables], ignore_index=True)
