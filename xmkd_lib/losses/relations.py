"""Distances and similarities between the samples of a batch, exact enough to be divided by."""

from torch import Tensor

from xmkd_lib.losses.base import unit


def squared_distances(z: Tensor) -> Tensor:
    """‖z_i − z_j‖² of rows (N, D): (N, N), at least float64, zero on the diagonal and for duplicate rows.

    The expanded square cancels where features lie far from the origin: so it is taken in float64 and about the mean,
    and what is rounding alone counts as 0.
    """
    z = z.double()
    z = z - z.mean(0)
    gram = z @ z.T
    lengths = gram.diagonal()
    scale = lengths[:, None] + lengths
    squared = scale - 2 * gram
    return squared.masked_fill(squared <= 1e-13 * scale, 0)


def distances(squared: Tensor) -> Tensor:
    """The roots of squared distances; where these are 0 the gradient is 0 too, not infinite."""
    same = squared == 0
    return squared.masked_fill(same, 1).sqrt().masked_fill(same, 0)


def cosines(z: Tensor) -> Tensor:
    """Cosine of every pair of rows (N, D): (N, N). A zero row has cosine 0 with all."""
    z = unit(z)
    return z @ z.T
