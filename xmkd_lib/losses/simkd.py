"""SimKD: the student's feature, brought into the teacher's space by a trained projector."""

from torch import Tensor

from xmkd_lib.losses.base import LOSSES
from xmkd_lib.losses.connector import ConnectorLoss
from xmkd_lib.outputs import Outputs


@LOSSES.register("simkd")
class SimKD(ConnectorLoss):
    """‖g(z_s) − z_t‖²/D per sample, (N,), with a trained perceptron g; embeddings of any two widths.

    Unlike `hint`, the projector is not linear and belongs to the loss. Source: Chen et al., "Knowledge distillation
    with the reused teacher classifier", arXiv 2203.14001; there g is of three convolutions, the student is used with
    g and the teacher's classifier, and cross-entropy is left out: that is not the loss's to do.

    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> SimKD(student_dim=3, teacher_dim=2)(Outputs(torch.zeros(4, 3)), Outputs(torch.zeros(4, 2))).shape
    torch.Size([4])
    """

    level = "feature"
    formula = "‖g(z_s) − z_t‖²/D, g a perceptron"
    cost = "N·D, D² parameters"
    source = "Chen et al. 2022 (SimKD), arXiv 2203.14001"

    def compare(self, z: Tensor, teacher: Outputs) -> Tensor:
        return (z - teacher.embedding).square().mean(1)
