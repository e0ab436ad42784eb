"""Decoupled knowledge distillation: the target class apart from the others."""

import torch
from torch import Tensor
from torch.nn import functional as F

from xmkd_lib.losses.base import LOSSES, Loss, kl, without_target
from xmkd_lib.losses.checks import above
from xmkd_lib.outputs import Outputs


@LOSSES.register("dkd")
class DKD(Loss):
    """T²·(α·KL(b_t ‖ b_s) + β·KL(p̂_t ‖ p̂_s)) per sample, (N,), in nats.

    b = (p_y, 1 − p_y) at temperature T, and p̂ is the softmax over the other classes alone (constant with two
    classes, so its part is 0). Logits (N, C ≥ 2), labels (N,). With α = 1 and β = 1 − p_t,y it would be `kd`.
    Source: Zhao et al., "Decoupled knowledge distillation", arXiv 2203.08679. The released code hides the target
    class by subtracting 1000 from its logit; here it is left out, which is exact at any scale of the logits.

    >>> import torch
    >>> from xmkd_lib.outputs import Outputs
    >>> side = Outputs(torch.zeros(1, 2), torch.tensor([[2.0, 0.0, 1.0]]))
    >>> DKD()(side, side, torch.tensor([0]))
    tensor([0.])
    """

    level = "classifier"
    reads = ("logits",)
    needs_labels = True
    min_classes = 2
    formula = "T²·(α·KL(b_t ‖ b_s) + β·KL(p̂_t ‖ p̂_s)), b = (p_y, 1−p_y), p̂ without y"
    cost = "N·C"
    source = "Zhao et al. 2022 (DKD), arXiv 2203.08679"

    def __init__(self, alpha: float = 1.0, beta: float = 8.0, temperature: float = 4.0):
        super().__init__()
        above("dkd", 0, alpha=alpha, beta=beta, temperature=temperature)
        self.alpha, self.beta, self.temperature = alpha, beta, temperature

    def per_sample(self, student: Outputs, teacher: Outputs, labels: Tensor) -> Tensor:
        logits = [side.logits / self.temperature for side in (student, teacher)]
        others = [without_target(x, labels) for x in logits]
        binary_s, binary_t = (
            F.log_softmax(torch.cat([x.gather(1, labels[:, None]), y.logsumexp(1, keepdim=True)], 1), 1)
            for x, y in zip(logits, others, strict=True)
        )
        others_s, others_t = (F.log_softmax(y, 1) for y in others)
        target, rest = kl(binary_t, binary_s), kl(others_t, others_s)
        return self.temperature**2 * (self.alpha * target + self.beta * rest)
