"""Closed-set identification."""

import numpy as np
from numpy.typing import ArrayLike

from xmkd_lib.errors import UserError


def accuracy(logits: ArrayLike, labels: ArrayLike) -> float:
    """Share of samples whose highest score is the label's, in [0, 1]. Of tied scores the first counts.

    logits: (N, C). labels: (N,) whole numbers. UserError on no samples, unfitting shapes or scores that are
    not finite (they would count as a choice of class).

    >>> accuracy([[2.0, 1.0], [0.0, 3.0], [1.0, 0.0], [0.0, 1.0]], [0, 1, 1, 1])
    0.75
    """
    logits, labels = np.asarray(logits), np.asarray(labels)
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or not labels.size:
        raise UserError(
            f"accuracy: logits {logits.shape} and labels {labels.shape} do not fit; need (N, C), (N,), N > 0."
        )
    if not np.isfinite(logits).all():
        raise UserError("accuracy: some logits are not finite. The training diverged: lower the learning rate.")
    return float((logits.argmax(1) == labels).mean())
