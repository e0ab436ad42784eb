"""Cosine distance of embeddings."""

from torch import Tensor

from xmkd_lib.losses.base import LOSSES, Loss, unit
from xmkd_lib.outputs import Outputs


@LOSSES.register("cosine")
class Cosine(Loss):
    """1 − cos θ per sample, (N,), within [0, 2]; embeddings (N, D) of equal width.

    Half of `l2` on unit vectors, and with a hinge still one loss: for d = ‖a − b‖ and m = 2 sin(m_θ/2),
    ½(d² − m²)₊ = (cos m_θ − cos θ)₊. So an angle m_θ is margin 1 − cos m_θ here and 2 (1 − cos m_θ) for `l2`.

    >>> import torch
    >>> from xmkd_lib.outputs import Outputs
    >>> Cosine()(Outputs(torch.tensor([[1.0, 0.0]])), Outputs(torch.tensor([[0.0, 2.0]])))
    tensor([1.])
    """

    level = "feature"
    formula = "1 − cos(z_s, z_t)"
    source = "half of l2 on unit vectors"
    normalise = True

    def per_sample(self, student: Outputs, teacher: Outputs, labels: Tensor | None) -> Tensor:
        # 1 − a·b would lose all digits near 0 and go below it; a zero row thereby counts as ½.
        return (unit(student.embedding) - unit(teacher.embedding)).square().sum(1) / 2
