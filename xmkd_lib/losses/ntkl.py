"""Non-target knowledge, from samples whose order of classes agrees."""

from torch import Tensor
from torch.nn import functional as F

from xmkd_lib.losses.base import LOSSES, Loss, kl, without_target
from xmkd_lib.losses.checks import above, number
from xmkd_lib.losses.ranks import kendall
from xmkd_lib.outputs import Outputs


@LOSSES.register("ntkl")
class NTKL(Loss):
    """[τ_i > threshold]·T²·KL(p̂_t ‖ p̂_s) per sample i, (N,), in nats, over the classes without y_i.

    τ is Kendall's rank correlation of student and teacher over those classes (τ-a: ties count 0); a sample on which
    the two modalities order the classes differently is left out, as a constant for the gradient. Logits (N, C ≥ 2),
    labels (N,); with C = 2 one class is left and the value is 0. Source: Huo et al., "C2KD: bridging the modality gap
    for cross-modal knowledge distillation", CVPR 2024: non-target KL with on-the-fly selection. The paper also trains
    proxy students in both directions; temperature and threshold are our reading.

    >>> import torch
    >>> side = Outputs(torch.zeros(1, 2), torch.tensor([[2.0, 0.0, 1.0]]))
    >>> NTKL()(side, side, torch.tensor([0]))
    tensor([0.])
    """

    level = "classifier"
    reads = ("logits",)
    needs_labels = True
    min_classes = 2
    formula = "[Kendall τ > threshold]·T²·KL(p̂_t ‖ p̂_s), p̂ without y"
    cost = "N·C·(ln C)²"
    source = "Huo et al. 2024 (C2KD), CVPR; constants: our reading"

    def __init__(self, threshold: float = 0.0, temperature: float = 1.0):
        super().__init__()
        above("ntkl", 0, temperature=temperature)
        number("ntkl", -1, 1, threshold=threshold)
        self.threshold, self.temperature = threshold, temperature

    def per_sample(self, student: Outputs, teacher: Outputs, labels: Tensor) -> Tensor:
        s, t = (without_target(side.logits, labels) for side in (student, teacher))
        agrees = kendall(s.detach(), t) > self.threshold
        log_s, log_t = (F.log_softmax(x / self.temperature, 1) for x in (s, t))
        return agrees * self.temperature**2 * kl(log_t, log_s)
