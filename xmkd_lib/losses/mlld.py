"""Predictions aligned at three levels: sample, batch and class."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from xmkd_lib.errors import UserError
from xmkd_lib.losses.base import LOSSES, Loss, kl
from xmkd_lib.losses.checks import above
from xmkd_lib.outputs import Outputs


@LOSSES.register("mlld")
class MLLD(Loss):
    """Σ_T T²·KL(p_t ‖ p_s) + ‖row i of P_sP_sᵀ − P_tP_tᵀ‖² + ‖P_sᵀP_s − P_tᵀP_t‖²/C per sample, (N,).

    P (N, C) are the probabilities at temperature T, the sum runs over `temperatures`. The batch mean of the second part
    is the published ‖·‖²/N; the third is one number of the whole batch and each row carries it. Logits (N, C).
    Source: Jin et al., "Multi-level logit distillation", CVPR 2023. The released code also masks samples
    and classes of low teacher confidence and trains on two augmented views, which a loss cannot see.

    >>> import torch
    >>> from xmkd_lib.outputs import Outputs
    >>> side = Outputs(torch.zeros(2, 2), torch.tensor([[2.0, 0.0], [0.0, 1.0]]))
    >>> MLLD()(side, side)
    tensor([0., 0.])
    """

    level = "classifier"
    reads = ("logits",)
    relational = True
    formula = "Σ_T T²·KL(p_t ‖ p_s) + ‖P_sP_sᵀ − P_tP_tᵀ‖²/N + ‖P_sᵀP_s − P_tᵀP_t‖²/C"
    cost = "N·C + N² + C²"
    source = "Jin et al. 2023 (MLLD), CVPR"

    def __init__(self, temperatures: Sequence[float] = (2.0, 3.0, 4.0, 5.0, 6.0)):
        super().__init__()
        if not isinstance(temperatures, list | tuple) or not temperatures:
            raise UserError(f"Loss 'mlld': temperatures is {temperatures!r}. Give a list of at least one.")
        for temperature in temperatures:
            above("mlld", 0, temperatures=temperature)
        self.temperatures = tuple(temperatures)

    def per_sample(self, student: Outputs, teacher: Outputs, labels: Tensor | None) -> Tensor:
        return torch.stack([self._at(t, student.logits, teacher.logits) for t in self.temperatures]).sum(0)

    def _at(self, temperature: float, student: Tensor, teacher: Tensor) -> Tensor:
        log_s, log_t = F.log_softmax(student / temperature, 1), F.log_softmax(teacher / temperature, 1)
        p_s, p_t = log_s.exp(), log_t.exp()
        batch = (p_s @ p_s.T - p_t @ p_t.T).square().sum(1)
        classes = (p_s.T @ p_s - p_t.T @ p_t).square().sum() / p_s.shape[1]
        return temperature**2 * kl(log_t, log_s) + batch + classes
