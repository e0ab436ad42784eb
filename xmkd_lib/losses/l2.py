"""Squared Euclidean distance: the hard constraint at feature level."""

from torch import Tensor

from xmkd_lib.losses.base import LOSSES, Loss, unit
from xmkd_lib.losses.checks import flag
from xmkd_lib.outputs import Outputs


@LOSSES.register("l2")
class L2(Loss):
    """‖z_s − z_t‖² per sample, (N,); of unit vectors by default, then within [0, 4].

    Embeddings (N, D) of equal width. `normalise=False` compares them as they are. On the unit sphere
    d² = 2 − 2 cos θ, so a hinge at an angle m_θ has margin 2 (1 − cos m_θ), and unrelated pairs sit at 2.
    Source: the hard feature constraint that arXiv 2507.16296 argues against; unit vectors are our reading.

    >>> import torch
    >>> from xmkd_lib.outputs import Outputs
    >>> student, teacher = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 0.5]])
    >>> L2()(Outputs(student), Outputs(teacher))
    tensor([2.])
    """

    level = "feature"
    formula = "‖ẑ_s − ẑ_t‖²"
    source = "hard constraint of arXiv 2507.16296; unit vectors: our reading"

    def __init__(self, normalise: bool = True):
        super().__init__()
        flag("l2", normalise=normalise)
        self.normalise = normalise

    def per_sample(self, student: Outputs, teacher: Outputs, labels: Tensor | None) -> Tensor:
        a, b = student.embedding, teacher.embedding
        if self.normalise:
            a, b = unit(a), unit(b)
        return (a - b).square().sum(1)
