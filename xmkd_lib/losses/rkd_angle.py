"""Relational distillation of angles."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from xmkd_lib.losses.base import LOSSES, Loss
from xmkd_lib.losses.relations import squared_distances
from xmkd_lib.outputs import Outputs

CHUNK = 2**18  # angles at a time: few temporaries, and small enough for a processor's cache


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
        sides = [part for side in (student, teacher) for part in _sides(side.embedding)]
        return _AngleGap.apply(*sides)


def _sides(z: Tensor) -> tuple[Tensor, Tensor]:
    """Squared distances halved, and inverse distances (0 for a distance of 0): (N, N) each."""
    squared, same = squared_distances(z)
    return squared.masked_fill(same, 0) / 2, squared.rsqrt().masked_fill(same, 0)


class _AngleGap(torch.autograd.Function):
    """Mean Huber distance of all cosines at each vertex, (N,).

    Its gradient is written out, for autograd would keep all N³ angles: with g the slope of the Huber distance and
    cos = raw·e_j·e_k, raw = h_ij + h_ik − h_jk, it is ∂h_ij = 2 e_j Σ_k g e_k, ∂h_jk = −Σ_i g e_j e_k and
    ∂e_j = 2 Σ_k g raw e_k, all symmetric in j and k.
    """

    @staticmethod
    def forward(ctx: Any, half_s: Tensor, inverse_s: Tensor, half_t: Tensor, inverse_t: Tensor) -> Tensor:
        ctx.save_for_backward(half_s, inverse_s, half_t, inverse_t)
        values = half_s.new_empty(len(half_s))
        for rows in _vertices(len(half_s)):
            s, t = _cosines(_raw(half_s, rows), inverse_s[rows]), _cosines(_raw(half_t, rows), inverse_t[rows])
            values[rows] = F.smooth_l1_loss(s, t, reduction="none").mean((1, 2))
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, None, None]:
        half_s, inverse_s, half_t, inverse_t = ctx.saved_tensors
        by_half, by_inverse = torch.zeros_like(half_s), torch.zeros_like(inverse_s)
        for rows in _vertices(len(half_s)):
            raw, inverse = _raw(half_s, rows), inverse_s[rows]
            slope = _cosines(raw, inverse).sub_(_cosines(_raw(half_t, rows), inverse_t[rows])).clamp_(-1, 1)
            slope *= (upstream[rows] / len(half_s) ** 2)[:, None, None]
            column = inverse[:, :, None]
            by_half[rows] += 2 * inverse * (slope @ column)[:, :, 0]
            by_inverse[rows] += 2 * (raw.mul_(slope) @ column)[:, :, 0]
            by_half -= slope.mul_(column).mul_(inverse[:, None, :]).sum(0)
        return by_half, by_inverse, None, None


def _vertices(n: int) -> list[slice]:
    step = max(1, CHUNK // max(1, n * n))
    return [slice(start, start + step) for start in range(0, n, step)]


def _raw(half: Tensor, rows: slice) -> Tensor:
    """s_i s_j · s_i s_k for vertices i in `rows`, by the law of cosines: (len(rows), N, N)."""
    to = half[rows]
    return (to[:, :, None] + to[:, None, :]).sub_(half)


def _cosines(raw: Tensor, inverse: Tensor) -> Tensor:
    return (raw * inverse[:, :, None]).mul_(inverse[:, None, :])
