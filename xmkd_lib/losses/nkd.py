"""Normalised knowledge distillation: soft target on the own class, normalised others."""

from torch import Tensor
from torch.nn import functional as F

from xmkd_lib.losses.base import LOSSES, Loss, without_target
from xmkd_lib.losses.checks import above
from xmkd_lib.outputs import Outputs


@LOSSES.register("nkd")
class NKD(Loss):
    """−p_t,y·ln p_s,y − γ·T²·Σ_{c≠y} p̂_t,c ln p̂_s,c per sample, (N,), in nats.

    p is the softmax at temperature 1, p̂ that over the classes without y at temperature T. Logits (N, C ≥ 2), labels
    (N,). A cross-entropy to soft targets: its minimum is the teacher's entropy, not 0, so it takes no margin.
    Source: Yang et al., "From knowledge distillation to self-knowledge distillation: a unified approach with normalized
    loss and customized soft labels", arXiv 2303.13005; γ = 1.5 and T = 1 as there for ImageNet.

    >>> import torch
    >>> from xmkd_lib.outputs import Outputs
    >>> side = Outputs(torch.zeros(1, 2), torch.zeros(1, 2))
    >>> NKD()(side, side, torch.tensor([0])).round(decimals=4)  # half of ln 2; one class is left, nothing to say of it
    tensor([0.3466])
    """

    level = "classifier"
    minimum = None
    reads = ("logits",)
    needs_labels = True
    min_classes = 2
    formula = "−p_t,y·ln p_s,y − γT²·Σ_{c≠y} p̂_t,c·ln p̂_s,c"
    cost = "N·C"
    source = "Yang et al. 2023 (NKD), arXiv 2303.13005"

    def __init__(self, gamma: float = 1.5, temperature: float = 1.0):
        super().__init__()
        above("nkd", 0, gamma=gamma, temperature=temperature)
        self.gamma, self.temperature = gamma, temperature

    def per_sample(self, student: Outputs, teacher: Outputs, labels: Tensor) -> Tensor:
        log_s, log_t = (F.log_softmax(x.logits, 1).gather(1, labels[:, None])[:, 0] for x in (student, teacher))
        rest_s, rest_t = (
            F.log_softmax(without_target(x.logits, labels) / self.temperature, 1) for x in (student, teacher)
        )
        return -log_t.exp() * log_s - self.gamma * self.temperature**2 * (rest_t.exp() * rest_s).sum(1)
