"""Correlation congruence, with the bilinear kernel."""

from torch import Tensor
from torch.nn import functional as F

from xmkd_lib.losses.base import LOSSES, Loss
from xmkd_lib.outputs import Outputs


@LOSSES.register("cc")
class CC(Loss):
    """mean_j (s_i·s_j − t_i·t_j)² per sample i, (N,).

    Embeddings (N, D) of any two widths, not normalised: blind to rotation, not to scale. Source: Peng et al.,
    "Correlation congruence for knowledge distillation", arXiv 1904.01802, with the bilinear kernel. A widely copied
    code compares products of neighbouring rows' absolute differences instead, which is another loss.

    >>> import torch
    >>> from xmkd_lib.outputs import Outputs
    >>> CC()(Outputs(torch.eye(2)), Outputs(2 * torch.eye(2)))
    tensor([4.5000, 4.5000])
    """

    level = "feature"
    same_width = False
    relational = True
    formula = "mean_j (s_i·s_j − t_i·t_j)²"
    cost = "N²"
    source = "Peng et al. 2019 (CC), arXiv 1904.01802"

    def per_sample(self, student: Outputs, teacher: Outputs, labels: Tensor | None) -> Tensor:
        s, t = (side.embedding @ side.embedding.T for side in (student, teacher))
        return F.mse_loss(s, t, reduction="none").mean(1)
