"""Probabilistic knowledge transfer: who is near whom."""

import torch
from torch import Tensor

from xmkd_lib.errors import unknown_name
from xmkd_lib.losses.base import LOSSES, Loss
from xmkd_lib.losses.relations import cosines
from xmkd_lib.outputs import Outputs

FORMS = ("paper", "code")


@LOSSES.register("pkt")
class PKT(Loss):
    """Σ_j p_t(j|i)·ln(p_t(j|i)/p_s(j|i)) per sample i, (N,), in nats.

    p(j|i) is (1 + cos z_i z_j)/2, scaled to sum 1 over j. Embeddings (N, D) of any two widths; blind to rotation and to
    the length of each vector. form "paper": j ≠ i and the batch mean is the paper's sum over i, divided by N; a sample
    alone gives 0. form "code": the released code lets j = i count and also divides by N. Kernels and probabilities are
    at least 1e-7. Source: Passalis and Tefas, "Learning deep representations with probabilistic knowledge transfer",
    arXiv 1803.10837.

    >>> import torch
    >>> from xmkd_lib.outputs import Outputs
    >>> z = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> (PKT()(Outputs(z), Outputs(2 * z.flip(1))).abs() < 1e-6).all()
    tensor(True)
    """

    level = "feature"
    same_width = False
    relational = True
    normalise = True
    formula = "Σ_j p_t(j|i)·ln(p_t(j|i)/p_s(j|i)), p ∝ (1 + cos)/2"
    cost = "N²"
    source = "Passalis & Tefas 2018 (PKT), arXiv 1803.10837"

    def __init__(self, form: str = "paper"):
        super().__init__()
        if form not in FORMS:
            raise unknown_name("form of loss 'pkt'", form, FORMS)
        self.form = form

    def per_sample(self, student: Outputs, teacher: Outputs, labels: Tensor | None) -> Tensor:
        p_s, p_t = (self._conditional(side.embedding) for side in (student, teacher))
        divergence = (p_t * (p_t.clamp_min(1e-7) / p_s.clamp_min(1e-7)).log()).sum(1)
        return divergence / max(1, len(p_s)) if self.form == "code" else divergence

    def _conditional(self, z: Tensor) -> Tensor:
        kernel = ((1 + cosines(z)) / 2).clamp_min(1e-7)
        if self.form == "paper":
            kernel = kernel * (1 - torch.eye(len(z), dtype=z.dtype, device=z.device))
        return kernel / kernel.sum(1, keepdim=True).clamp_min(1e-7)
