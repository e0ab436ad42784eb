"""Speaker verification: trials, error rates at all thresholds, equal error rate, detection cost; ties are safe."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from xmkd_lib.errors import UserError


class DetCurve(NamedTuple):
    """Miss and false-alarm rate, each (K,) in [0, 1], of accepting a trial whose score reaches `threshold` (K,)."""

    miss: np.ndarray
    false_alarm: np.ndarray
    threshold: np.ndarray

    @property
    def eer_threshold(self) -> float:
        """The lowest threshold at which the miss rate reaches the false-alarm rate: where `eer` is read off."""
        return float(self.threshold[np.argmax(self.miss >= self.false_alarm)])


def trial_scores(
    embeddings: ArrayLike, labels: ArrayLike, centre: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Cosine score of every unordered pair, and whether the pair is one identity's (a target trial).

    embeddings: (N, D). labels: (N,). centre: (D,), the mean of the training embeddings, subtracted first.
    Returns scores (N(N-1)/2,) float32 in [-1, 1] and is_target (same shape) bool. A zero row scores 0 with
    all. Computed in float64 and rounded to float32, so that equal pairs tie whatever order BLAS adds in.
    UserError on unfitting shapes or embeddings that are not finite.

    >>> scores, is_target = trial_scores([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]], ["ann", "ann", "bob"])
    >>> scores.tolist(), is_target.tolist()
    ([1.0, 0.0, 0.0], [True, False, False])
    """
    vectors, labels = np.array(embeddings, dtype=np.float64), np.asarray(labels)
    if vectors.ndim != 2 or labels.shape != vectors.shape[:1]:
        raise UserError(f"Trials: embeddings {vectors.shape}, labels {labels.shape}; need (N, D) and (N,).")
    if centre is not None:
        vectors -= np.asarray(centre, dtype=np.float64)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.isfinite(norms).all():
        raise UserError("Trials: some embeddings are not finite. The training diverged: lower the learning rate.")
    vectors /= np.where(norms > 0, norms, 1)
    pairs = ~np.tri(len(vectors), dtype=bool)
    scores = (vectors @ vectors.T)[pairs].astype(np.float32)
    return np.clip(scores, -1, 1), (labels[:, None] == labels)[pairs]


def eer(scores: ArrayLike, targets: ArrayLike) -> float:
    """Equal error rate in [0, 1]: where miss rate = false-alarm rate on the straight line between ROC points.

    scores: (T,), higher means more alike. targets: (T,) bool. Tied scores are one ROC point: constant scores
    give exactly 0.5, perfect ones 0, inverted ones 1. UserError without a target or a non-target trial, or on
    scores that are not finite.

    >>> eer([0.9, 0.8, 0.3, 0.6, 0.2, 0.1], [True, True, True, False, False, False])
    0.3333333333333333
    >>> eer([0.5, 0.5, 0.5], [True, False, False])
    0.5
    """
    miss, false_alarm = _error_rates(scores, targets)
    gap = miss - false_alarm  # rises strictly from -1 to 1
    right = int(np.argmax(gap >= 0))
    share = gap[right - 1] / (gap[right - 1] - gap[right])
    return float(miss[right - 1] + share * (miss[right] - miss[right - 1]))


def det_curve(scores: ArrayLike, targets: ArrayLike) -> DetCurve:
    """Detection error trade-off (Martin et al., 1997): both error rates at every threshold, from accept all to none.

    scores, targets: as in `eer`, errors too. The thresholds are the distinct scores, ascending, and infinity; tied
    scores share one. Misses never fall along the curve, false alarms never rise.

    >>> curve = det_curve([0.9, 0.4, 0.4, 0.1], [True, True, False, False])
    >>> curve.threshold.tolist(), curve.miss.tolist(), curve.false_alarm.tolist()
    ([0.1, 0.4, 0.9, inf], [0.0, 0.0, 0.5, 1.0], [1.0, 0.5, 0.0, 0.0])
    >>> curve.eer_threshold
    0.9
    """
    return DetCurve(*_error_rates(scores, targets), np.append(np.unique(scores), np.inf))


def min_dcf(scores: ArrayLike, targets: ArrayLike, p_target: float = 0.01, c_miss: float = 1, c_fa: float = 1) -> float:
    """Smallest detection cost over all thresholds, divided by that of the better blind decision: in [0, 1].

    min_t (c_miss p miss(t) + c_fa (1-p) fa(t)) / min(c_miss p, c_fa (1-p)), as in the NIST evaluations.
    Constant scores give 1. p_target is a prior in (0, 1): quote it with the value. Errors as in `eer`.

    >>> min_dcf([0.9, 0.2, 0.4, 0.1], [True, True, False, False], p_target=0.05)
    0.5
    """
    if not (0 < p_target < 1 and c_miss > 0 and c_fa > 0):
        raise UserError(f"minDCF: p_target={p_target}, c_miss={c_miss}, c_fa={c_fa}; need 0 < p < 1, costs > 0.")
    miss, false_alarm = _error_rates(scores, targets)
    cost_miss, cost_fa = c_miss * p_target, c_fa * (1 - p_target)
    return float((cost_miss * miss + cost_fa * false_alarm).min() / min(cost_miss, cost_fa))


def _error_rates(scores: ArrayLike, targets: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Miss and false-alarm rate at every distinct threshold, from accept all (0, 1) to accept none (1, 0)."""
    scores, targets = np.asarray(scores), np.asarray(targets, dtype=bool)
    if scores.ndim != 1 or scores.shape != targets.shape:
        raise UserError(f"Trials: scores {scores.shape} and targets {targets.shape}; need two of shape (T,).")
    total = np.count_nonzero(targets)
    if not 0 < total < scores.size:
        kind = "target" if total == 0 else "non-target"
        raise UserError(f"Trials: none of the {scores.size} is a {kind} trial. Use two identities, two samples each.")
    if not np.isfinite(scores).all():
        raise UserError("Trials: some scores are not finite. Check the embeddings.")
    order = np.argsort(scores)
    ends = np.append(np.flatnonzero(np.diff(scores[order])), scores.size - 1)  # last trial of each tied group
    rejected_targets = np.append(0, np.cumsum(targets[order])[ends])
    rejected = np.append(0, ends + 1)
    others = scores.size - total
    return rejected_targets / total, (others - (rejected - rejected_targets)) / others
