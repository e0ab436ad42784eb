"""What the squared length of embeddings is spent on: the same for all, between classes, within a class."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from xmkd_lib.evaluation import Spread
from xmkd_lib.plots.theme import WIDTH, canvas, describe, themed, wrapped

# colour and hatching of each share
PARTS = {"common": ("#6b7280", "xxxx"), "between": ("#0072b2", ""), "within": ("#d55e00", "////")}
MEANING = {"common": "common to all samples", "between": "between classes", "within": "within a class"}
LEGIBLE = 8  # per cent: a narrower part has no room for its number


@themed
def spread(found: Mapping[str, Spread]) -> Figure:
    """A bar per space, its parts the shares in per cent of the squared length of unit vectors.

    found: space -> its shares, which add up to 1.
    """
    figure, (ax,) = canvas(1, 1, WIDTH, 1.2 + 0.36 * max(len(found), 2))
    table = 100 * pd.DataFrame(
        [shares._asdict() for shares in found.values()], index=list(found), columns=Spread._fields
    )
    left = 0 * table["common"]
    for part, (colour, hatch) in PARTS.items():
        style = {"facecolor": (colour, 0.3), "edgecolor": colour, "hatch": hatch, "linewidth": 1}
        bars = ax.barh(range(len(table)), table[part], left=left, height=0.62, label=MEANING[part], **style)
        labels = [f"{value:.0f}" if value >= LEGIBLE else "" for value in table[part]]
        box = {"facecolor": "white", "alpha": 0.85, "linewidth": 0, "pad": 1}
        ax.bar_label(bars, labels, label_type="center", fontsize=8.5, bbox=box)
        left = left + table[part]
    ax.set_yticks(range(len(table)), map(wrapped, table.index))
    ax.set(xlim=(0, 100), ylim=(len(table) - 0.5, -0.5), xlabel="share of the squared length (%)")
    ax.tick_params(axis="y", length=0)
    figure.legend(loc="outside upper center", ncols=3, fontsize=8.5)
    return describe(figure, _in_words(table), table.rename_axis("space"))


def _in_words(table: pd.DataFrame) -> str:
    parts = [
        f"{name} {common:.0f}, {between:.0f} and {within:.0f} %" for name, common, between, within in table.itertuples()
    ]
    return f"Shares common to all samples, between classes and within a class: {'; '.join(parts)}."
