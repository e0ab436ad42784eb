"""Standardised logits within a margin per class."""

from torch import Tensor
from torch.nn import functional as F

from xmkd_lib.losses.base import LOSSES, Loss, centred_unit
from xmkd_lib.losses.checks import number
from xmkd_lib.outputs import Outputs


@LOSSES.register("logit_margin")
class LogitMargin(Loss):
    """mean_c (|l̃_s,c − l̃_t,c| − m)₊ per sample, (N,), of logits (N, C) standardised per row.

    l̃ = (l − mean)/std, with the population's std: the loss is blind to shift and scale, in which modalities differ.
    class_margin m ≥ 0, in standard deviations, acts inside the mean; a margin by `soften` acts on the sample's value. A
    constant row counts as zeros. Source: our reading of a soft constraint at classifier level; the
    standardisation is that of Sun et al., "Logit standardization in knowledge distillation", arXiv 2403.01427.

    >>> import torch
    >>> from xmkd_lib.outputs import Outputs
    >>> z, logits = torch.zeros(1, 2), torch.tensor([[2.0, 0.0, 1.0]])
    >>> LogitMargin()(Outputs(z, 5 * logits + 3), Outputs(z, logits)).abs() < 1e-6
    tensor([True])
    """

    level = "classifier"
    reads = ("logits",)
    formula = "mean_c (|l̃_s,c − l̃_t,c| − m)₊, l̃ standardised per row"
    cost = "N·C"
    source = "our reading; standardisation: Sun et al. 2024, arXiv 2403.01427"

    def __init__(self, class_margin: float = 0.0):
        super().__init__()
        number("logit_margin", 0, class_margin=class_margin)
        self.class_margin = class_margin

    def per_sample(self, student: Outputs, teacher: Outputs, labels: Tensor | None) -> Tensor:
        spread = student.logits.shape[1] ** 0.5  # a unit row of C values has the standard deviation 1/√C
        gap = (spread * (centred_unit(student.logits, 1) - centred_unit(teacher.logits, 1))).abs()
        return F.relu(gap - self.class_margin).mean(1)
