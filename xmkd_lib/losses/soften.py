"""Soft constraints: no pull below a margin."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from xmkd_lib.errors import UserError, unknown_name
from xmkd_lib.losses.base import Loss
from xmkd_lib.losses.margins import ClassSpreadMargin, QuantileMargin
from xmkd_lib.outputs import Outputs

MODES = ("hinge", "squared", "smooth", "bounded")
Margin = float | QuantileMargin | ClassSpreadMargin
INHERITED = ("level", "reads", "same_width", "relational", "needs_labels", "min_classes", "normalise")


class Softened(Loss):
    """A loss under a soft constraint; made by `soften`. Itself a loss, with minimum 0."""

    def __init__(self, loss: Loss, margin: Margin, mode: str, beta: float):
        super().__init__()
        self.loss, self.margin, self.mode, self.beta = loss, margin, mode, beta
        for fact in INHERITED:
            setattr(self, fact, getattr(loss, fact))
        self.needs_labels = loss.needs_labels or isinstance(margin, ClassSpreadMargin)

    def check(self, student: Outputs, teacher: Outputs, labels: Tensor | None) -> None:
        self.loss.check(student, teacher, labels)
        if isinstance(self.margin, ClassSpreadMargin):
            self._check_labels(labels, len(student.embedding), len(self.margin))

    def per_sample(self, student: Outputs, teacher: Outputs, labels: Tensor | None) -> Tensor:
        return self.soft(self.loss.per_sample(student, teacher, labels), teacher, labels)

    def of_prediction(self, predicted: Outputs, teacher: Outputs, labels: Tensor | None) -> Tensor:
        return self.soft(self.loss.of_prediction(predicted, teacher, labels), teacher, labels)

    def soft(self, values: Tensor, teacher: Outputs, labels: Tensor | None = None) -> Tensor:
        """The constraint on values (N,) of the hard loss: for those who want to see both."""
        return self.constrain(values, self.margin_of(values, teacher, labels), teacher, labels)

    def constrain(self, values: Tensor, margin: float | Tensor, teacher: Outputs, labels: Tensor | None) -> Tensor:
        """`soft` with the margin at hand: a number, or a tensor () or (N,)."""
        m, beta = margin, self.beta
        if self.mode == "hinge":
            return values if isinstance(m, float) and m == 0 else F.relu(values - m)  # relu at 0 cuts the gradient off
        if self.mode == "squared":
            return F.relu(values - m).square()
        if self.mode == "smooth":
            floor = F.softplus(torch.as_tensor(-beta * m, dtype=values.dtype, device=values.device))
            return (F.softplus(beta * (values - m)) - floor) / beta
        with torch.no_grad():
            reference = self.loss.of_prediction(teacher, teacher, labels)
        return F.relu(values - reference - m)

    def margin_of(self, values: Tensor, teacher: Outputs, labels: Tensor | None) -> float | Tensor:
        """The margin that these values meet: a number, a tensor () of the batch, or (N,), without gradient."""
        return self.margin if isinstance(self.margin, float) else self.margin(values.detach(), teacher, labels)

    @property
    def name(self) -> str:
        return f"soft {self.loss.name}"

    def extra_repr(self) -> str:
        return f"mode={self.mode}" + (f", margin={self.margin:g}" if isinstance(self.margin, float) else "")


def soften(loss: Loss, margin: Margin, mode: str = "hinge", beta: float = 10.0) -> Softened:
    """Turn a hard loss ℓ (minimum 0) into a soft one that leaves samples within the margin m in peace.

    mode: hinge (ℓ − m)₊ · squared (ℓ − m)₊² · smooth softplus(β(ℓ − m))/β − softplus(−βm)/β · bounded
    (ℓ − ℓ_ref − m)₊, where ℓ_ref is the teacher's own loss. margin, in the loss's units: a number from 0 to infinity,
    or a `QuantileMargin` (of the batch), or a `ClassSpreadMargin` (per sample). Hinge with 0 is the hard loss exactly,
    value and gradient, and infinity gives 0 with zero gradient. Reduce by a mean over all samples: dividing by the
    active ones undoes the softness.
    UserError on a margin that is none of these ("auto" has to be calibrated first, see `auto_margin`), on an
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
    check_softenable(loss.name, loss.minimum)
    if isinstance(margin, str) and margin == "auto":
        raise UserError('Margin "auto" must be fixed by calibration first: pass the number from losses.auto_margin.')
    if not 0 < beta < math.inf:
        raise UserError(f"beta is {beta!r}. Give a number above 0; larger is closer to the hinge.")
    if isinstance(margin, QuantileMargin | ClassSpreadMargin):
        return Softened(loss, margin, mode, beta)
    if not isinstance(margin, int | float) or isinstance(margin, bool) or not margin >= 0:
        raise UserError(f"Margin is {margin!r}. Give a number from 0 (hard) to infinity (no constraint).")
    return Softened(loss, float(margin), mode, beta)


def check_softenable(name: str, minimum: float | None) -> None:
    """UserError where a loss has no minimum at 0, so that a margin on it means nothing."""
    if minimum is None:
        raise UserError(f"Loss {name!r} has no minimum at 0, so a margin on it means nothing. Use it hard.")
