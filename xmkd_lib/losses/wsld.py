"""Weighted soft labels: distil where the student is worse than the teacher."""

from torch import Tensor
from torch.nn import functional as F

from xmkd_lib.losses.base import LOSSES, Loss, kl
from xmkd_lib.losses.checks import above
from xmkd_lib.outputs import Outputs


@LOSSES.register("wsld")
class WSLD(Loss):
    """(1 − exp(−CE_s/CE_t))·T²·KL(p_t^T ‖ p_s^T) per sample, (N,), in nats.

    CE is each side's cross-entropy with the label at temperature 1; the weight is a constant for the gradient. Logits
    (N, C), labels (N,). Source: Zhou et al., "Rethinking soft labels for knowledge distillation: a bias-variance
    tradeoff perspective", arXiv 2102.00650. Paper and code write a cross-entropy to soft targets instead of KL: since
    the weight is detached, the gradient is the same, and the minimum is 0. CE_t is at least 1e-7, as in the code.

    >>> import torch
    >>> from xmkd_lib.outputs import Outputs
    >>> side = Outputs(torch.zeros(1, 2), torch.tensor([[2.0, 0.0, 1.0]]))
    >>> WSLD()(side, side, torch.tensor([0]))
    tensor([0.])
    """

    level = "classifier"
    reads = ("logits",)
    needs_labels = True
    formula = "(1 − e^(−CE_s/CE_t))·T²·KL(p_t^T ‖ p_s^T)"
    cost = "N·C"
    source = "Zhou et al. 2021 (WSLD), arXiv 2102.00650"

    def __init__(self, temperature: float = 2.0):
        super().__init__()
        above("wsld", 0, temperature=temperature)
        self.temperature = temperature

    def per_sample(self, student: Outputs, teacher: Outputs, labels: Tensor) -> Tensor:
        ce_s, ce_t = (
            -F.log_softmax(side.logits.detach(), 1).gather(1, labels[:, None])[:, 0] for side in (student, teacher)
        )
        weight = -(-ce_s / ce_t.clamp_min(1e-7)).expm1()
        log_s, log_t = (F.log_softmax(side.logits / self.temperature, 1) for side in (student, teacher))
        return weight * self.temperature**2 * kl(log_t, log_s)
