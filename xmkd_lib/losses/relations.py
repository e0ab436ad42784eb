"""Distances and similarities between the samples of a batch, exact enough to be divided by."""

import torch
from torch import Tensor

from xmkd_lib.losses.base import unit


def squared_distances(z: Tensor) -> tuple[Tensor, Tensor]:
    """‖z_i − z_j‖² of rows (N, D), (N, N), and where it is 0: on the diagonal and for duplicate rows.

    There the values are set to 1, so that they can be divided by, and get no gradient. The expanded square cancels
    where features lie far from the origin: so it is taken in float64 and about the mean, and what is rounding alone
    counts as 0.
    """
    centred = z.double()
    centred = centred - centred.mean(0)
    lengths = centred.square().sum(1)
    scale = lengths[:, None] + lengths
    squared = torch.addmm(scale, centred, centred.T, alpha=-2)
    same = squared.detach() <= 1e-13 * scale.detach()
    return squared.to(z.dtype).masked_fill(same, 1), same


def cosines(z: Tensor) -> Tensor:
    """Cosine of every pair of rows (N, D): (N, N). A zero row has cosine 0 with all."""
    z = unit(z)
    return z @ z.T
