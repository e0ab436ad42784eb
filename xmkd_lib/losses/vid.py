"""Variational information distillation."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xmkd_lib.losses.base import LOSSES
from xmkd_lib.losses.connector import ConnectorLoss
from xmkd_lib.outputs import Outputs

START, FLOOR = 5.0, 1e-5  # variance at the start of training, and the least


@LOSSES.register("vid")
class VID(ConnectorLoss):
    """mean_d ½·(ln σ_d² + (t_d − μ_d(z_s))²/σ_d²) per sample, (N,).

    Negative log-likelihood, without its constant, of the teacher's embedding under a Gaussian whose mean μ is a trained
    perceptron of the student's and whose variance σ² (at least 1e-5) is trained per dimension: what the student cannot
    tell of a dimension widens its σ instead of being learnt by heart. Its minimum is not 0, so it takes no margin.
    Embeddings of any two widths. Source: Ahn et al., "Variational information distillation for knowledge transfer",
    arXiv 1904.05835; there the mean is a convolutional network. Like the released code, it averages over dimensions,
    from σ² = 5 on.

    >>> _ = torch.manual_seed(0)
    >>> VID(student_dim=3, teacher_dim=2)(Outputs(torch.zeros(4, 3)), Outputs(torch.zeros(4, 2))).shape
    torch.Size([4])
    """

    level = "feature"
    minimum = None
    formula = "mean_d ½(ln σ_d² + (t_d − μ_d(z_s))²/σ_d²)"
    cost = "N·D, D² parameters"
    source = "Ahn et al. 2019 (VID), arXiv 1904.05835"

    def __init__(self, student_dim: int, teacher_dim: int):
        super().__init__(student_dim, teacher_dim)
        self.raw_variance = nn.Parameter(torch.full((teacher_dim,), math.log(math.expm1(START - FLOOR))))

    def compare(self, z: Tensor, teacher: Outputs) -> Tensor:
        variance = (F.softplus(self.raw_variance) + FLOOR).to(z.dtype)
        return (variance.log() + (teacher.embedding - z).square() / variance).mean(1) / 2
