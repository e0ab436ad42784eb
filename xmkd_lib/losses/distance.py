"""Euclidean distance of embeddings."""

import torch
from torch import Tensor

from xmkd_lib.losses.base import LOSSES, Loss, unit
from xmkd_lib.losses.checks import flag
from xmkd_lib.outputs import Outputs


@LOSSES.register("distance")
class Distance(Loss):
    """‖z_s − z_t‖ per sample, (N,); of unit vectors by default, then within [0, 2] and √2 for unrelated pairs.

    Embeddings (N, D) of equal width. The root of `l2`: its gradient does not fade near the teacher (length 1, and zero
    at the teacher itself). Source: the distance that a margin is drawn around in arXiv 2507.16296, our reading.

    >>> import torch
    >>> from xmkd_lib.outputs import Outputs
    >>> Distance()(Outputs(torch.tensor([[3.0, 0.0]])), Outputs(torch.tensor([[0.0, 0.5]])))
    tensor([1.4142])
    """

    level = "feature"
    formula = "‖ẑ_s − ẑ_t‖"
    source = "root of l2: our reading"

    def __init__(self, normalise: bool = True):
        super().__init__()
        flag("distance", normalise=normalise)
        self.normalise = normalise

    def per_sample(self, student: Outputs, teacher: Outputs, labels: Tensor | None) -> Tensor:
        a, b = student.embedding, teacher.embedding
        if self.normalise:
            a, b = unit(a), unit(b)
        return torch.linalg.vector_norm(a - b, dim=1)
