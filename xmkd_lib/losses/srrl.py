"""SRRL: the feature itself, and what the teacher's classifier makes of it."""

import torch
from torch import Tensor

from xmkd_lib.losses.base import LOSSES, unit
from xmkd_lib.losses.checks import above, classifier, number
from xmkd_lib.losses.connector import ConnectorLoss
from xmkd_lib.outputs import Outputs


@LOSSES.register("srrl")
class SRRL(ConnectorLoss):
    """‖g(z_s) − z_t‖²/D + β·‖h(g(z_s)) − h(z_t)‖²/C per sample, (N,), with a trained perceptron g.

    h(z) = scale·Ŵ_t ẑ are the logits of the teacher's frozen classifier, weight (C, D_t), copied. Embeddings of any two
    widths. Source: Yang et al., "Knowledge distillation via softmax regression representation learning", ICLR 2021
    (there a linear classifier; this kit's is a cosine one, and its logits are compared by their squared error).

    >>> _ = torch.manual_seed(0)
    >>> loss = SRRL(student_dim=3, teacher_dim=2, weight=torch.eye(2))
    >>> loss(Outputs(torch.zeros(4, 3)), Outputs(torch.zeros(4, 2))).shape
    torch.Size([4])
    """

    level = "classifier"
    formula = "‖g(z_s) − z_t‖²/D + β·‖h(g(z_s)) − h(z_t)‖²/C, h the teacher's classifier"
    cost = "N·C·D, D² parameters"
    source = "Yang et al. 2021 (SRRL), ICLR"

    def __init__(self, student_dim: int, teacher_dim: int, weight: Tensor, scale: float = 16.0, beta: float = 1.0):
        super().__init__(student_dim, teacher_dim)
        classifier("srrl", teacher_dim, weight=weight)
        above("srrl", 0, scale=scale)
        number("srrl", 0, beta=beta)
        self.scale, self.beta = scale, beta
        self.register_buffer("weight", unit(weight.detach().to(torch.promote_types(weight.dtype, torch.float32))))

    def compare(self, z: Tensor, teacher: Outputs) -> Tensor:
        feature = (z - teacher.embedding).square().mean(1)
        gap = self.scale * (unit(z) - unit(teacher.embedding)) @ self.weight.to(z.dtype).T
        return feature + self.beta * gap.square().mean(1)
