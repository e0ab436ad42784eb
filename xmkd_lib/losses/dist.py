"""Correlations of class probabilities instead of equality, within rows and within columns."""

from torch import Tensor
from torch.nn import functional as F

from xmkd_lib.losses.base import LOSSES, Loss, centred_unit
from xmkd_lib.losses.checks import above
from xmkd_lib.outputs import Outputs


@LOSSES.register("dist")
class DIST(Loss):
    """T²·(β·(1 − ρ of row i) + γ·row i's share of mean_c (1 − ρ of column c)) per sample, (N,).

    ρ is Pearson's correlation of student and teacher probabilities at temperature T; logits (N, C). The column part
    compares samples: 1 − ρ = ½‖a − b‖² for centred unit columns a and b, of which the row has its summand N/(2C)·Σ_c
    (a_ic − b_ic)²; the batch mean is the published scalar. Equal student and teacher give 0. Where a row or column is
    constant, as every column is for N = 1, ρ does not exist: it counts ½, or 0 if constant on both sides (the released
    code: 1). Source: Huang et al., "Knowledge distillation from a stronger teacher", arXiv 2205.10536.

    >>> import torch
    >>> from xmkd_lib.outputs import Outputs
    >>> logits = torch.tensor([[2.0, 0.0, 1.0], [0.0, 1.0, 3.0]])
    >>> DIST()(Outputs(torch.zeros(2, 2), logits), Outputs(torch.zeros(2, 2), logits))
    tensor([0., 0.])
    """

    level = "classifier"
    reads = ("logits",)
    relational = True
    formula = "T²·(β·(1 − ρ_row) + γ·mean_c(1 − ρ_column))"
    cost = "N·C"
    source = "Huang et al. 2022 (DIST), arXiv 2205.10536"

    def __init__(self, beta: float = 1.0, gamma: float = 1.0, temperature: float = 1.0):
        super().__init__()
        above("dist", 0, beta=beta, gamma=gamma, temperature=temperature)
        self.beta, self.gamma, self.temperature = beta, gamma, temperature

    def per_sample(self, student: Outputs, teacher: Outputs, labels: Tensor | None) -> Tensor:
        p_s, p_t = (F.softmax(side.logits / self.temperature, 1) for side in (student, teacher))
        rows, columns = (
            F.mse_loss(centred_unit(p_s, dim), centred_unit(p_t, dim), reduction="none").sum(1) / 2 for dim in (1, 0)
        )
        columns = columns * len(p_s) / p_s.shape[1]
        return self.temperature**2 * (self.beta * rows + self.gamma * columns)
