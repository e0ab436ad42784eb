"""Whether a quality score is worth its name: its order against the truth, and the errors it helps to avoid."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from xmkd_lib.errors import UserError
from xmkd_lib.quality.weights import Scores


def spearman(scores: Scores, truth: Scores) -> float:
    """Spearman's rank correlation of two lists (n,), in [−1, 1]; ties get their mean rank.

    0 where either is constant: it then orders nothing. UserError on NaN, other shapes or fewer than 2 values.

    >>> spearman([1.0, 2.0, 3.0], [10.0, 30.0, 20.0])
    0.5
    """
    x, y = _pair(scores, truth, "truth")
    x, y = (rank - rank.mean() for rank in (_ranks(x), _ranks(y)))
    scale = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / scale) if scale > 0 else 0.0


class RejectCurve(NamedTuple):
    """Error among the samples that are kept, (k,), as a share of the worst ones is rejected, and one number for it.

    gain: the area between rejecting at random and the curve, over the same area of a perfect score: 1 where all errors
    are rejected first, 0 like chance, below 0 where the score keeps the errors.
    """

    fractions: list[float]
    error: list[float]
    gain: float


def error_versus_reject(scores: Scores, errors: Scores, fractions: Sequence[float] | None = None) -> RejectCurve:
    """Mean error of the best samples, as the given shares of worst scores (n,) are rejected.

    errors (n,): 0 or 1, or any loss. fractions: in [0, 1), default 0 to 0.95 by 0.05; at least one sample is kept. Of
    equal scores each is as likely to be rejected, and the mean over such draws is given. gain is 0 where all errors are
    equal. UserError on NaN, other shapes, or a fraction out of range.
    Source: Grother and Tabassi, TPAMI 29 (2007); gain: prediction rejection ratio of Malinin and Gales, ICLR 2021.

    >>> error_versus_reject([0.1, 0.9, 0.2, 0.8], [1, 0, 1, 0], [0.0, 0.25, 0.5])
    RejectCurve(fractions=[0.0, 0.25, 0.5], error=[0.5, 0.3333333333333333, 0.0], gain=1.0)
    """
    score, error = _pair(scores, errors, "errors")
    fractions = [float(share) for share in (np.arange(20) / 20 if fractions is None else fractions)]
    for share in fractions:
        if not 0 <= share < 1:
            raise UserError(f"error_versus_reject: fraction {share!r}. Give shares to reject from 0 to below 1.")
    curve, ideal = _kept_error(score, error), _kept_error(-error, error)
    possible = error.mean() - ideal.mean()
    gain = (error.mean() - curve.mean()) / possible if possible > 1e-12 * np.abs(error).max() else 0.0
    kept = [max(1, len(error) - round(share * len(error))) for share in fractions]
    return RejectCurve(fractions, [float(curve[k - 1]) for k in kept], float(gain))


def _kept_error(score: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Expected mean error of the 1, 2, ... n best, (n,): among equal scores each stands for their mean."""
    _, place, count = np.unique(-score, return_inverse=True, return_counts=True)
    mean = np.bincount(place, error) / count
    return np.cumsum(np.repeat(mean, count)) / np.arange(1, len(error) + 1)


def _ranks(values: np.ndarray) -> np.ndarray:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]


def _pair(scores: Scores, other: Scores, name: str) -> tuple[np.ndarray, np.ndarray]:
    found = [np.asarray(values.cpu() if hasattr(values, "cpu") else values, dtype=float) for values in (scores, other)]
    x, y = found
    if x.ndim != 1 or x.shape != y.shape or len(x) < 2:
        raise UserError(f"Scores have shape {x.shape}, {name} {y.shape}. Give one number per sample, at least two.")
    for what, values in (("scores", x), (name, y)):
        if np.isnan(values).any():
            raise UserError(f"{int(np.isnan(values).sum())} of {len(values)} {what} are NaN. Drop those samples.")
    return x, y
