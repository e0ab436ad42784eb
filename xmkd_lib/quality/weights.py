"""From quality scores to sample weights with mean 1."""

import math
import warnings
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from xmkd_lib.errors import UserError, unknown_name
from xmkd_lib.quality.inputs import is_number

Scores = Tensor | np.ndarray | Sequence[float]
MAPPINGS = ("linear", "softmax", "power", "gate")


class EmpiricalCDF:
    """The share of training scores below a score, ties counted by half: scores (m,) to quality (m,) in [0, 1].

    Made by `fit`, on training data only; other data are placed among the training scores.
    """

    def __init__(self, train_scores: Scores):
        self.sorted = _scores(train_scores, "training scores").sort().values

    def __call__(self, scores: Scores) -> Tensor:
        values = _scores(scores, "scores")
        train = self.sorted.to(values.device)
        below = torch.searchsorted(train, values, right=False)
        up_to = torch.searchsorted(train, values, right=True)
        return ((below + up_to).double() / (2 * len(self.sorted))).float()


def fit(train_scores: Scores) -> EmpiricalCDF:
    """Fit the map from raw scores (n,) of any unit to quality in [0, 1]. UserError on NaN or no scores at all.

    >>> quality = fit([3.0, 5.0, 5.0, 9.0])
    >>> quality([1.0, 3.0, 5.0, 10.0])
    tensor([0.0000, 0.1250, 0.5000, 1.0000])
    """
    return EmpiricalCDF(train_scores)


def combine(q_student: Scores, q_teacher: Scores, a: float = 1.0, b: float = 1.0) -> Tensor:
    """Quality of a pair, q_s^a · q_t^b, (n,) in [0, 1], of two qualities in [0, 1]; exponents at least 0.

    >>> combine([0.5, 1.0], [0.5, 0.2], b=0.0)
    tensor([0.5000, 1.0000])
    """
    q_s, q_t = _quality(q_student), _quality(q_teacher)
    if len(q_s) != len(q_t):
        raise UserError(f"Quality of {len(q_s)} students and {len(q_t)} teachers: give one of each for every pair.")
    if not (is_number(a) and is_number(b) and a >= 0 and b >= 0):
        raise UserError(f"Exponents are a = {a!r}, b = {b!r}. Give numbers from 0; for a control invert with 1 - q.")
    return (q_s**a * q_t**b).float()


def weights(
    quality: Scores,
    mapping: str = "linear",
    alpha: float = 1.0,
    tau: float = 1.0,
    threshold: float = 0.25,
    clip: tuple[float, float] = (0.0, 5.0),
) -> Tensor:
    """Weights (n,) of the whole training set with mean 1, detached, from its quality (n,) in [0, 1].

    alpha is the strength: 0 gives exactly 1 everywhere. mapping, each rising with q: linear 1 − α + αq · softmax
    exp(αz/τ) with z the standardised q clipped to ±3 · power q^α · gate 1 where q ≥ threshold, else 1 − α. alpha
    runs from 0 to 1 for linear and gate, from 0 for the others. Relative to their mean, weights are clipped to
    `clip`, then scaled to mean 1. Index them by training row; combine terms as Σ w_i v_i / N.

    Warns when the effective sample size falls below half of the samples. UserError on NaN or values outside
    [0, 1] (map raw scores by `fit` first) and on parameters out of range. Source: quality-based adaptive weights of
    Jin et al., AAAI 2023, and arXiv 2507.16296; the mappings are our reading.

    >>> weights([0.0, 0.5, 1.0], alpha=0.5)
    tensor([0.6667, 1.0000, 1.3333])
    """
    if mapping not in MAPPINGS:
        raise unknown_name("mapping", mapping, MAPPINGS)
    if not (is_number(alpha) and 0 <= alpha <= (1 if mapping in ("linear", "gate") else math.inf)):
        raise UserError(
            f"alpha is {alpha!r}. Give a finite strength from 0 (no weighting), at most 1 for linear and gate; "
            "for the inverted control pass 1 - quality (quality.inverted)."
        )
    if not (is_number(tau) and tau > 0 and math.isfinite(alpha / tau)):
        raise UserError(
            f"tau is {tau!r}. Give a number above 0, so large that alpha / tau = {alpha!r} / tau is finite."
        )
    if not is_number(threshold):
        raise UserError(f"threshold is {threshold!r}. Give a quality from 0 to 1.")
    if not _are_bounds(clip):
        raise UserError(f"clip is {clip!r}. Give two bounds, the lower from 0 to 1 and the upper from 1.")
    raw = _map(_quality(quality), mapping, alpha, tau, threshold)
    if not raw.any():
        raise UserError(f"All weights are 0 (mapping {mapping!r}, threshold {threshold:g}): nothing would be learnt.")
    w = (raw / raw.mean()).clamp(*clip)
    w = w / w.mean()
    share = effective_sample_size(w)
    if share < 0.5:
        warnings.warn(f"Weights leave an effective {share:.0%} of the samples: lower alpha.", stacklevel=2)
    return w.float()


def effective_sample_size(w: Tensor) -> float:
    """Share of the samples that the weights (n,) leave effective: 1/(1 + cv²), cv = std/mean; in (0, 1].

    >>> effective_sample_size(torch.tensor([2.0, 0.0]))
    0.5
    """
    w = w.double()
    return float(w.mean().square() / w.square().mean())


def inverted(quality: Scores) -> Tensor:
    """1 − quality, (n,), of a quality in [0, 1]: the control that prefers what the estimator thinks worst.

    >>> inverted([0.0, 0.25])
    tensor([1.0000, 0.7500])
    """
    return (1 - _quality(quality)).float()


def permuted(w: Tensor, seed: int) -> Tensor:
    """The same weights (n,) given to other samples: the control against which a gain by quality counts.

    >>> permuted(torch.tensor([1.0, 2.0, 3.0]), seed=0)
    tensor([3., 1., 2.])
    """
    order = torch.randperm(len(w), generator=torch.Generator().manual_seed(seed))
    return w[order.to(w.device)]


def _map(q: Tensor, mapping: str, alpha: float, tau: float, threshold: float) -> Tensor:
    if mapping == "linear":
        return 1 - alpha + alpha * q
    if mapping == "power":
        return (q / q.amax().clamp_min(1e-300)) ** alpha  # the common factor cancels and must not underflow
    if mapping == "gate":
        return torch.where(q >= threshold, 1.0, 1.0 - alpha).to(q)
    spread = q.std(correction=0)
    z = (q - q.mean()) / spread if spread > 0 else torch.zeros_like(q)
    z = z.clamp(-3, 3)
    return (alpha / tau * (z - z.amax())).exp()  # the common factor cancels and must not overflow


def _are_bounds(clip: object) -> bool:
    if not isinstance(clip, list | tuple) or len(clip) != 2 or not is_number(clip[0]):
        return False
    return 0 <= clip[0] <= 1 and (clip[1] == math.inf or is_number(clip[1])) and clip[1] >= 1


def _scores(scores: Scores, what: str) -> Tensor:
    try:
        values = torch.as_tensor(scores, dtype=torch.float64).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{what.capitalize()} are no numbers ({error}). Give one number per sample.") from None
    if values.ndim != 1 or not len(values):
        raise UserError(f"{what.capitalize()} have shape {tuple(values.shape)}. Give one number per sample.")
    missing = int(values.isnan().sum())
    if missing:
        raise UserError(
            f"{missing} of {len(values)} {what} are NaN. Drop those samples, or give them the lowest score."
        )
    return values


def _quality(quality: Scores) -> Tensor:
    q = _scores(quality, "qualities")
    outside = int(((q < 0) | (q > 1)).sum())
    if outside:
        raise UserError(
            f"{outside} of {len(q)} qualities lie outside 0 to 1 ({float(q.min()):g} to {float(q.max()):g}). "
            "Map raw scores by quality.fit(train_scores) first."
        )
    return q
