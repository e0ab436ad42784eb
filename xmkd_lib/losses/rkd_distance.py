"""Relational distillation of distances."""

from torch import Tensor
from torch.nn import functional as F

from xmkd_lib.losses.base import LOSSES, Loss
from xmkd_lib.losses.relations import squared_distances
from xmkd_lib.outputs import Outputs


@LOSSES.register("rkd_distance")
class RKDDistance(Loss):
    """mean_j huber(‖s_i − s_j‖/μ_s, ‖t_i − t_j‖/μ_t) per sample i, (N,).

    μ is each side's mean distance of samples that differ; huber is quadratic up to 1. Embeddings (N, D) of
    any two widths, not normalised; blind to shift, rotation and scale. Duplicates are at distance 0 and gradient 0, a
    batch of equal rows gives 0. Source: Park et al., "Relational knowledge distillation", arXiv 1904.05068. The
    paper sums over pairs; the batch mean here is the released code's average over all N² pairs, i = j among them.

    >>> import torch
    >>> from xmkd_lib.outputs import Outputs
    >>> z = torch.tensor([[0.0], [1.0], [3.0]])
    >>> RKDDistance()(Outputs(z), Outputs(-2 * z + 7))
    tensor([0., 0., 0.])
    """

    level = "feature"
    same_width = False
    relational = True
    formula = "mean_j huber(‖s_i − s_j‖/μ_s − ‖t_i − t_j‖/μ_t)"
    cost = "N²"
    source = "Park et al. 2019 (RKD), arXiv 1904.05068"

    def per_sample(self, student: Outputs, teacher: Outputs, labels: Tensor | None) -> Tensor:
        s, t = (_relative_distances(side.embedding) for side in (student, teacher))
        return F.smooth_l1_loss(s, t, reduction="none").mean(1)


def _relative_distances(z: Tensor) -> Tensor:
    squared, same = squared_distances(z)
    found = squared.sqrt().masked_fill(same, 0)
    mean = found.sum() / (~same).sum().clamp_min(1)
    return found / mean.masked_fill(mean == 0, 1)
