"""From corruption over score and quality to weight: one pair, the mappings, and estimators held against the truth."""

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from xmkd_lib import quality
from xmkd_lib.plots.theme import DASHES, MUTED, WIDTH, Style, canvas, describe, styles, themed
from xmkd_lib.quality.weights import MAPPINGS

if TYPE_CHECKING:
    from xmkd_lib.explore.ranking import Ranking

GAP = 3  # pixels between two faces
# Okabe and Ito: what a rank correlation says of an estimator
VERDICTS = {"ranks": Style("#0072b2", "o"), "blind": Style("#6b7280", "x"), "reversed": Style("#d55e00", "v")}


@themed
def judged(before: pd.DataFrame, after: pd.DataFrame, faces: Sequence[Tensor]) -> Figure:
    """Quality and weight of one pair by each estimator: open marker before a corruption, filled marker after it.

    before, after: a row per estimator with score, quality in [0, 1] and weight. faces: images (3, H, W), before and
    after.
    """
    figure, axes = canvas(1, 3, WIDTH, 0.9 + 0.36 * len(after), width_ratios=[1, 2.6, 2.2])
    _faces(axes[0], faces)
    places = range(len(after))
    for ax, column, axis in zip(axes[1:], ("quality", "weight"), ("quality (rank)", "weight"), strict=True):
        ax.hlines(places, before[column], after[column], color=VERDICTS["ranks"].colour, linewidth=4, alpha=0.28)
        for table, fill, label in ((before, "white", "before"), (after, VERDICTS["ranks"].colour, "after")):
            ax.plot(
                table[column], places, "o", color=VERDICTS["ranks"].colour, mfc=fill, ms=6.5, label=label, clip_on=False
            )
        ax.set(xlabel=axis, ylim=(len(after) - 0.5, -0.5))
        ax.grid(axis="x")
        ax.tick_params(axis="y", length=0, pad=8)
    axes[1].set_xlim(0, 1)
    axes[2].set_xlim(0, max(2.0, before.weight.max(), after.weight.max()) * 1.02)
    axes[2].axvline(1, color=MUTED, linewidth=0.9, linestyle=":")
    scores = [f"{name}   {before.score[name]:.2f} → {after.score[name]:.2f}" for name in after.index]
    axes[1].set_yticks(places, scores, fontsize=8.5)
    axes[2].set_yticks(places, [""] * len(after))
    axes[1].set_title("Score → quality")
    axes[2].set_title("Weight, 1 on average")
    table = before.add_suffix("_before").join(after.add_suffix("_after"))
    moved = [
        f"{row.Index}: quality {row.quality_before:.2f} to {row.quality_after:.2f}, "
        f"weight {row.weight_before:.2f} to {row.weight_after:.2f}"
        for row in table.itertuples()
    ]
    return describe(figure, f"One pair before and after its corruption. {'; '.join(moved)}.", table)


def _faces(ax: Axes, faces: Sequence[Tensor]) -> None:
    first, second = (face.permute(1, 2, 0).clamp(0, 1).numpy() for face in faces)
    ax.imshow(np.concatenate([first, np.ones_like(first[:GAP]), second]), interpolation="nearest")
    ax.set_axis_off()
    for y, va, text in ((1.02, "bottom", "○ before"), (-0.02, "top", "● after")):
        ax.text(0.5, y, text, ha="center", va=va, transform=ax.transAxes)


@themed
def weight_curves(grades: Tensor, strengths: Sequence[float] = (0.25, 0.5, 1.0)) -> Figure:
    """Weight against quality by each of the four mappings, at some strengths alpha.

    grades: the training set's quality (n,) in [0, 1], over which the weights have mean 1. The legends say what share
    of the samples stays effective.
    """
    figure, axes = canvas(1, len(MAPPINGS), WIDTH, 2.9, sharey=True)
    grades = grades.sort().values
    look = list(styles(["soft_feature", "soft", "hard_feature", "none"]).values())
    columns, words = {}, []
    for ax, mapping in zip(axes, MAPPINGS, strict=True):
        for strength, dash, style in zip(strengths, DASHES, look, strict=False):
            weights = quality.weights(grades, mapping, strength)
            share = quality.effective_sample_size(weights)
            label = f"α = {strength:g}, {share:.0%} effective"
            marks = len(grades) // 4 or 1
            ax.plot(
                grades, weights, color=style.colour, ls=dash, marker=style.marker, markevery=marks, ms=5, label=label
            )
            columns[mapping, strength] = weights.numpy()
            words.append(f"{mapping} α {strength:g}: {weights.min():.2f} to {weights.max():.2f}, {share:.0%} effective")
        ax.axhline(1, color=MUTED, linewidth=0.9, linestyle=":")
        ax.set(title=mapping, xlabel="quality", xlim=(0, 1), ylim=(0, None))
        ax.legend(fontsize=7.5, loc="upper left")
    axes[0].set_ylabel("weight")
    axes[0].set_ylim(0, 1.35 * max(column.max() for column in columns.values()))  # room for the legends
    table = pd.DataFrame(columns, index=pd.Index(grades.numpy(), name="quality"))
    table.columns.names = ["mapping", "alpha"]
    return describe(figure, f"Weight against quality. {'; '.join(words)}.", table)


@themed
def against_truth(rankings: Sequence["Ranking"], columns: int = 4, what: str = "score") -> Figure:
    """Scores against the true corruption, a panel each, with Spearman's ρ of score and true quality.

    Corruption grows to the right in every panel. columns: panels in a row. what: what the scores are, for the axes.
    """
    rows = -(-len(rankings) // columns)
    figure, axes = canvas(rows, columns, WIDTH, 0.35 + 2.0 * rows)
    for place, ax in enumerate(axes):
        if place < len(rankings):
            _cloud(ax, rankings[place])
        else:
            ax.set_visible(False)
        if place % columns == 0:
            ax.set_ylabel(what)
    keys = [Line2D([], [], color=s.colour, marker=s.marker, ls="", ms=5, label=name) for name, s in VERDICTS.items()]
    figure.legend(handles=keys, loc="outside upper right", ncols=3, fontsize=8.5)
    return describe(figure, _ranks_in_words(rankings), _ranks_as_table(rankings))


def _cloud(ax: Axes, found: "Ranking") -> None:
    style = VERDICTS[found.verdict]
    ax.plot(found.truth, found.scores, style.marker, color=style.colour, ms=2.6, alpha=0.6, linestyle="")
    ax.set_title(f"{found.estimator}\nρ = {found.spearman:+.2f}, {found.verdict}", fontsize=8.5)
    ax.set_xlabel(found.axis, fontsize=8.5)
    ax.tick_params(labelsize=8)
    if found.better > 0:
        ax.invert_xaxis()


def _ranks_as_table(rankings: Sequence["Ranking"]) -> pd.DataFrame:
    rows = [(found.axis, found.estimator, found.spearman, found.verdict, len(found.truth)) for found in rankings]
    return pd.DataFrame(rows, columns=["corruption", "estimator", "spearman", "verdict", "n"])


def _ranks_in_words(rankings: Sequence["Ranking"]) -> str:
    parts = [f"{found.estimator} against {found.axis} {found.spearman:+.2f}" for found in rankings]
    return f"Spearman's rank correlation with the true quality: {'; '.join(parts)}."


@themed
def reject_curves(rankings: Sequence["Ranking"], error: str = "errors among those kept (%)") -> Figure:
    """Errors that are left when the samples with the worst scores are rejected: a panel per corruption.

    The gain is 1 where all errors are rejected first, 0 like chance, below 0 where the errors are kept.
    """
    panels = [list(group) for _, group in groupby(rankings, key=lambda found: found.axis)]
    figure, axes = canvas(1, len(panels), WIDTH, 3.3, sharey=True)
    look = styles([found.estimator for found in rankings])
    rows = []
    for ax, panel in zip(axes, panels, strict=True):
        for found, dash in zip(panel, DASHES * len(panel), strict=False):
            curve, style = found.curve, look[found.estimator]
            shares, errors = 100 * np.array(curve.fractions), 100 * np.array(curve.error)
            label = f"{found.estimator}, gain {curve.gain:+.2f}"
            ax.plot(shares, errors, color=style.colour, ls=dash, marker=style.marker, markevery=4, ms=5, label=label)
            rows.append((found.axis, found.estimator, curve.gain, errors[0], errors[len(errors) // 2]))
        ax.set_title(panel[0].axis)
        ax.set(xlabel="worst scores rejected (%)", xlim=(0, 80))  # beyond, a handful is left
        ax.legend(fontsize=8, loc="upper left")
        ax.grid(axis="y")
    axes[0].set_ylabel(error)
    axes[0].set_ylim(0, 1.6 * max(row[3] for row in rows))
    table = pd.DataFrame(rows, columns=["corruption", "estimator", "gain", "errors_all", "errors_half_rejected"])
    words = [
        f"{row[1]} under {row[0]}: gain {row[2]:+.2f}, {row[3]:.0f} to {row[4]:.0f} % at half rejected" for row in rows
    ]
    return describe(figure, f"Error against the share rejected. {'; '.join(words)}.", table)
