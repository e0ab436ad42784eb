"""Knowledge distillation on temperature-scaled class probabilities."""

from torch import Tensor
from torch.nn import functional as F

from xmkd_lib.losses.base import LOSSES, Loss, kl
from xmkd_lib.losses.checks import above
from xmkd_lib.outputs import Outputs


@LOSSES.register("kd")
class KD(Loss):
    """T² · KL(softmax(l_t/T) ‖ softmax(l_s/T)) per sample, (N,), in nats; logits (N, C) over the same classes.

    T² keeps the gradient's size independent of T; it is part of the value. Source: Hinton, Vinyals and Dean,
    "Distilling the knowledge in a neural network", arXiv 1503.02531, section 2. They write a cross-entropy; the
    KL divergence has the same gradient and minimum 0. Released codes differ in averaging over classes too;
    here the classes are summed.

    >>> import torch
    >>> from xmkd_lib.outputs import Outputs
    >>> z, logits = torch.zeros(1, 2), torch.tensor([[2.0, 0.0]])
    >>> KD(temperature=2.0)(Outputs(z, logits), Outputs(z, logits))
    tensor([0.])
    """

    level = "classifier"
    formula = "T²·KL(p_t^T ‖ p_s^T)"
    cost = "N·C"
    source = "Hinton et al. 2015, arXiv 1503.02531, §2"
    reads = ("logits",)

    def __init__(self, temperature: float = 4.0):
        super().__init__()
        above("kd", 0, temperature=temperature)
        self.temperature = temperature

    def per_sample(self, student: Outputs, teacher: Outputs, labels: Tensor | None) -> Tensor:
        log_s, log_t = (F.log_softmax(side.logits / self.temperature, dim=1) for side in (student, teacher))
        return self.temperature**2 * kl(log_t, log_s)
