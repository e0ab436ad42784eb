"""Relational distillation of angles."""

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from xmkd_lib.losses.base import LOSSES, Loss
from xmkd_lib.losses.relations import squared_distances
from xmkd_lib.outputs import Outputs

CHUNK = 2**21  # angles at a time: a few temporaries of 8 MB


@LOSSES.register("rkd_angle")
class RKDAngle(Loss):
    """mean_jk huber(cos ∠ s_j s_i s_k, cos ∠ t_j t_i t_k) per sample i, (N,): the vertex.

    Embeddings (N, D) of any two widths, not normalised; blind to shift, rotation and scale. An angle with a side of
    length 0 (j = i, or duplicates) has cosine 0, gradient 0. By the law of cosines from the N² distances, so D does not
    enter the N³ part; vertices are taken some at a time and computed again for the gradient, so memory is N².
    Source: Park et al., "Relational knowledge distillation", arXiv 1904.05068. The paper sums over triplets; the batch
    mean here is the released code's average over all N³, j = k and j = i among them.

    >>> import torch
    >>> from xmkd_lib.outputs import Outputs
    >>> z = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    >>> (RKDAngle()(Outputs(z), Outputs(3 * z.flip(1) + 1)).abs() < 1e-6).all()
    tensor(True)
    """

    level = "feature"
    same_width = False
    relational = True
    formula = "mean_jk huber(cos∠ s_j s_i s_k − cos∠ t_j t_i t_k)"
    cost = "time N³, memory N²"
    source = "Park et al. 2019 (RKD), arXiv 1904.05068"

    def per_sample(self, student: Outputs, teacher: Outputs, labels: Tensor | None) -> Tensor:
        n = len(student.embedding)
        sides = [part for side in (student, teacher) for part in _sides(side.embedding)]
        vertices = torch.arange(n, device=student.embedding.device).split(max(1, CHUNK // max(1, n * n)))
        if not n:
            return student.embedding.sum(1)
        return torch.cat([checkpoint(_gap, rows, *sides, use_reentrant=False) for rows in vertices])


def _sides(z: Tensor) -> tuple[Tensor, Tensor]:
    """Squared distances halved, and inverse distances (0 for a distance of 0): (N, N) each."""
    squared = squared_distances(z)
    same = squared == 0
    inverse = squared.masked_fill(same, 1).rsqrt().masked_fill(same, 0)
    return (squared / 2).to(z.dtype), inverse.to(z.dtype)


def _gap(rows: Tensor, half_s: Tensor, inverse_s: Tensor, half_t: Tensor, inverse_t: Tensor) -> Tensor:
    s, t = _cosines(rows, half_s, inverse_s), _cosines(rows, half_t, inverse_t)
    return F.smooth_l1_loss(s, t, reduction="none").mean((1, 2))


def _cosines(rows: Tensor, half: Tensor, inverse: Tensor) -> Tensor:
    """cos ∠ j i k for vertices i in `rows`: (len(rows), N, N)."""
    to, scale = half[rows], inverse[rows]
    return (to[:, :, None] + to[:, None, :] - half) * scale[:, :, None] * scale[:, None, :]
