"""How a set of embeddings fills its space: in how many directions, and what its length is spent on."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from xmkd_lib.errors import UserError


class Spread(NamedTuple):
    """Shares of the squared length of unit vectors; they add up to 1.

    common: what all samples have in common, the squared length of their mean. between: of the classes' means around it.
    within: of the samples around their class's mean.
    """

    common: float
    between: float
    within: float


def effective_rank(embeddings: ArrayLike) -> float:
    """Number of directions that embeddings (N, D) fill: (sum of λ)² / (sum of λ²), λ the variances along their axes.

    The participation ratio of the eigenvalues of the covariance: D where all directions vary alike, 1 on a line; the
    same after shifting, rotating or scaling all of them. 0 where all rows are equal to within rounding. Other
    definitions exist, such as the exponential of the singular values' entropy (Roy and Vetterli, 2007),
    which is never smaller. UserError on another shape, on fewer than two rows, or on values that are not finite.

    >>> effective_rank([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    2.0
    >>> effective_rank([[0.0, 5.0], [1.0, 6.0], [2.0, 7.0]])
    1.0
    """
    vectors = _checked(embeddings)
    centred = vectors - vectors.mean(0)
    rounding = len(vectors) * np.finfo(np.float64).eps * np.abs(vectors).max(initial=0)
    if np.abs(centred).max(initial=0) <= rounding:
        return 0.0
    variances = np.linalg.svd(centred / np.abs(centred).max(), compute_uv=False) ** 2
    return float(variances.sum() ** 2 / (variances**2).sum())


def spread(embeddings: ArrayLike, labels: ArrayLike) -> Spread:
    """What the squared length of the rows of (N, D), scaled to 1, is spent on: the law of total variance.

    labels: (N,) the class of each row. The common share is the mean cosine of all pairs, of rows with themselves too: 1
    where all point the same way, 0 where they cancel. UserError as in `effective_rank`, on unfitting labels, and on a
    zero row.

    >>> spread([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 3.0]], ["ann", "ann", "bob", "bob"])
    Spread(common=0.5, between=0.5, within=0.0)
    """
    vectors, labels = _checked(embeddings), np.asarray(labels)
    if labels.shape != vectors.shape[:1]:
        raise UserError(f"Spread: embeddings {vectors.shape}, labels {labels.shape}; need (N, D) and (N,).")
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not norms.all():
        raise UserError(f"Spread: {np.count_nonzero(norms == 0)} of {len(vectors)} embeddings are zero: no direction.")
    vectors = vectors / norms
    _, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
    means = np.zeros((len(counts), vectors.shape[1]))
    np.add.at(means, place, vectors)
    means /= counts[:, None]
    mean = vectors.mean(0)
    between = ((means - mean) ** 2).sum(1) @ counts / len(vectors)
    within = ((vectors - means[place]) ** 2).sum(1).mean()
    return Spread(float(mean @ mean), float(between), float(within))


def _checked(embeddings: ArrayLike) -> np.ndarray:
    vectors = np.asarray(embeddings, dtype=np.float64)
    if vectors.ndim != 2 or len(vectors) < 2:
        raise UserError(f"Embeddings of shape {vectors.shape}: need (N, D) with N of 2 or more.")
    if not np.isfinite(vectors).all():
        raise UserError("Some embeddings are not finite. The training diverged: lower the learning rate.")
    return vectors
