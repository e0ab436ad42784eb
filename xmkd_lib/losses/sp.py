"""Similarity-preserving distillation."""

from torch import Tensor
from torch.nn import functional as F

from xmkd_lib.losses.base import LOSSES, Loss, unit
from xmkd_lib.outputs import Outputs


@LOSSES.register("sp")
class SP(Loss):
    """‖ĝ_s,i − ĝ_t,i‖²/N per sample i, (N,): ĝ_i is the i-th row of Z Zᵀ, scaled to length 1.

    Embeddings (N, D) of any two widths, not normalised; blind to rotation and to scale. The batch mean is the published
    ‖G̃_s − G̃_t‖²/N². Source: Tung and Mori, "Similarity-preserving knowledge distillation", arXiv
    1907.09682.

    >>> import torch
    >>> from xmkd_lib.outputs import Outputs
    >>> SP()(Outputs(torch.eye(2)), Outputs(torch.tensor([[0.0, 5.0], [5.0, 0.0]])))
    tensor([0., 0.])
    """

    level = "feature"
    same_width = False
    relational = True
    formula = "‖ĝ_s,i − ĝ_t,i‖²/N, ĝ_i: unit row of Z Zᵀ"
    cost = "N²"
    source = "Tung & Mori 2019 (SP), arXiv 1907.09682"

    def per_sample(self, student: Outputs, teacher: Outputs, labels: Tensor | None) -> Tensor:
        s, t = (unit(side.embedding @ side.embedding.T) for side in (student, teacher))
        return F.mse_loss(s, t, reduction="none").mean(1)
