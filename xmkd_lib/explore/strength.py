"""Students by the strength of the constraint that pulls them to the teacher: one table for toys and networks alike."""

from collections.abc import Iterable

import pandas as pd

from xmkd_lib.errors import UserError

# constraint: hard or soft; strength: the weight λ, 0 for none; split: training or held-out; distance: mean squared
# distance of unit vectors to the teacher; error: in %; cka: with the teacher.
COLUMNS = ["constraint", "strength", "split", "distance", "error", "cka"]
POINTS = 1.0  # per cent; smaller differences may come and go with the seed


def axis(strengths: Iterable[float]) -> list[float]:
    """The strengths to train at, each once and in order, with 0 first. UserError on any that is no number from 0.

    >>> axis([4, 0.25, 4])
    [0.0, 0.25, 4.0]
    """
    given = list(strengths) if isinstance(strengths, Iterable) else [strengths]
    if not all(isinstance(value, int | float) and 0 <= value < float("inf") for value in given):
        raise UserError(f"The strengths are {given}. Give finite numbers from 0, as a list.")
    return sorted({0.0, *map(float, given)})


def hurts_at(table: pd.DataFrame, constraint: str = "hard") -> list[float]:
    """The strengths, in order, whose held-out error is at least one point above that of strength 0 (our reading).

    table: as `COLUMNS` names it.

    >>> rows = [("hard", strength, "held-out", 1.0, error, 0.5) for strength, error in [(0, 20), (1, 20.5), (4, 22)]]
    >>> hurts_at(pd.DataFrame(rows, columns=COLUMNS))
    [4.0]
    """
    error = _held_out_error(table, constraint)
    return [float(strength) for strength in error.index[error - error[0.0] >= POINTS]]


def harm_in_words(table: pd.DataFrame, constraint: str = "hard") -> str:
    """Where a constraint hurts, in a sentence or two, with the errors that say so."""
    error, hurting = _held_out_error(table, constraint), hurts_at(table, constraint)
    none = f"{error[0.0]:.1f} % without a constraint"
    if len(error) == 1:
        return f"{constraint}: no strength but 0 was tried; the held-out error is {error[0.0]:.1f} %."
    if not hurting:
        return f"{constraint}: hurts nowhere on this axis; the held-out error is {_range(error)} %, {none}."
    start, last = hurting[0], error.index[-1]
    said = f"{constraint}: starts to hurt at λ = {start:g}, where the held-out error is {error[start]:.1f} %, {none}."
    if last not in hurting:
        return f"{said} From λ = {_free_from(error, hurting):g} on it hurts no longer: {error[last]:.1f} % at {last:g}."
    return f"{said} At λ = {last:g} it is {error[last]:.1f} %." if last != start else said


def gap_in_words(table: pd.DataFrame, strength: float) -> str:
    """The distance to the teacher in training and held out, and the gap between, of each constraint at a strength.

    UserError on a strength that the table lacks.
    """
    known = sorted(table.strength.unique())
    if strength not in known:
        tried = ", ".join(f"{value:g}" for value in known)
        raise UserError(f"No student was trained at strength {strength!r}, only at {tried}.")
    at = table[table.strength == strength].set_index(["constraint", "split"]).distance
    parts = []
    for constraint in table.constraint.unique():
        training, held_out = at[constraint, "training"], at[constraint, "held-out"]
        gap = f"(gap {held_out - training:.2f})"
        parts.append(f"{constraint} {training:.2f} in training, {held_out:.2f} held out {gap}")
    return f"Distance at λ = {strength:g}: {'; '.join(parts)}."


def _held_out_error(table: pd.DataFrame, constraint: str) -> pd.Series:
    chosen = table[(table.constraint == constraint) & (table.split == "held-out")]
    return chosen.set_index("strength").error.sort_index()


def _range(error: pd.Series) -> str:
    return f"{error.iloc[1:].min():.1f} to {error.iloc[1:].max():.1f}"


def _free_from(error: pd.Series, hurting: list[float]) -> float:
    """The first strength beyond the last that hurts."""
    return float(error.index[error.index > hurting[-1]][0])
