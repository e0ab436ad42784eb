"""Soft constraints: no pull below a margin."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from xmkd_lib.errors import UserError, unknown_name
from xmkd_lib.losses.base import Loss
from xmkd_lib.outputs import Outputs

MODES = ("hinge", "squared", "smooth", "bounded")


class Softened(Loss):
    """A loss under a soft constraint; made by `soften`. Itself a loss, with minimum 0."""

    def __init__(self, loss: Loss, margin: float, mode: str, beta: float):
        super().__init__()
        self.loss, self.margin, self.mode, self.beta = loss, margin, mode, beta
        self.level, self.reads = loss.level, loss.reads
        self.needs_labels, self.normalise = loss.needs_labels, loss.normalise

    def check(self, student: Outputs, teacher: Outputs, labels: Tensor | None) -> None:
        self.loss.check(student, teacher, labels)

    def per_sample(self, student: Outputs, teacher: Outputs, labels: Tensor | None) -> Tensor:
        return self.soft(self.loss.per_sample(student, teacher, labels), teacher, labels)

    def soft(self, values: Tensor, teacher: Outputs, labels: Tensor | None = None) -> Tensor:
        """The constraint on values (N,) of the hard loss: for those who want to see both."""
        m, beta = self.margin, self.beta
        if self.mode == "hinge":
            return values if m == 0 else F.relu(values - m)  # relu at 0 would cut the gradient off
        if self.mode == "squared":
            return F.relu(values - m).square()
        if self.mode == "smooth":
            floor = F.softplus(values.new_tensor(-beta * m))
            return (F.softplus(beta * (values - m)) - floor) / beta
        with torch.no_grad():
            reference = self.loss(teacher, teacher, labels)
        return F.relu(values - reference - m)

    @property
    def name(self) -> str:
        return f"soft {self.loss.name}"

    def extra_repr(self) -> str:
        return f"margin={self.margin:g}, mode={self.mode}"


def soften(loss: Loss, margin: float, mode: str = "hinge", beta: float = 10.0) -> Softened:
    """Turn a hard loss ℓ (minimum 0) into a soft one that leaves samples within the margin m in peace.

    mode: hinge (ℓ − m)₊ · squared (ℓ − m)₊² · smooth softplus(β(ℓ − m))/β − softplus(−βm)/β · bounded
    (ℓ − ℓ_ref − m)₊, where ℓ_ref is the teacher's own loss. margin: in the loss's units, 0 to infinity; hinge with 0
    is the hard loss exactly, value and gradient, and infinity gives 0 with zero gradient. Reduce by a mean over
    all samples: dividing by the active ones undoes the softness.
    UserError on a margin that is no such number ("auto" has to be calibrated first, see `auto_margin`), on an
    unknown mode, and on a loss whose minimum is not 0. Source: the soft ("loose") constraint of arXiv 2507.16296 in
    our reading; the paper's formula is not public. "bounded" is in the spirit of the teacher-bounded regression of
    Chen et al., "Learning efficient object detection models with knowledge distillation", NeurIPS 2017.

    >>> import torch
    >>> from xmkd_lib import losses
    >>> from xmkd_lib.outputs import Outputs
    >>> hard = losses.create("l2")
    >>> student, teacher = Outputs(torch.eye(2)), Outputs(torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
    >>> hard(student, teacher), soften(hard, margin=1.5)(student, teacher)
    (tensor([0., 2.]), tensor([0.0000, 0.5000]))
    """
    if mode not in MODES:
        raise unknown_name("mode", mode, MODES)
    if loss.minimum is None:
        raise UserError(f"Loss {loss.name!r} has no minimum at 0, so a margin on it means nothing. Use it hard.")
    if margin == "auto":
        raise UserError('Margin "auto" must be fixed by calibration first: pass the number from losses.auto_margin.')
    if not isinstance(margin, int | float) or isinstance(margin, bool) or not margin >= 0:
        raise UserError(f"Margin is {margin!r}. Give a number from 0 (hard) to infinity (no constraint).")
    if not 0 < beta < math.inf:
        raise UserError(f"beta is {beta!r}. Give a number above 0; larger is closer to the hinge.")
    return Softened(loss, float(margin), mode, beta)
