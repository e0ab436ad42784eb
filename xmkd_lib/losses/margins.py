"""Margins that follow the data: a running quantile of the loss, and the teacher's spread within a class."""

import math

import torch
from torch import Tensor, nn

from xmkd_lib.errors import UserError
from xmkd_lib.losses.base import Loss
from xmkd_lib.outputs import Outputs


class QuantileMargin(nn.Module):
    """A margin that a share `quantile` of the batch's hard values lies below: one number, averaged over batches.

    The exponential average (momentum; 0: this batch alone) moves in training mode only, starting from the first batch.
    quantile in (0, 1): 0.9 leaves all but the worst tenth in peace. Source: our reading.

    >>> margin = QuantileMargin(0.5, momentum=0.5)
    >>> margin(torch.tensor([1.0, 2.0, 3.0])), margin(torch.tensor([4.0, 4.0, 4.0]))
    (tensor(2.), tensor(3.))
    """

    def __init__(self, quantile: float = 0.5, momentum: float = 0.9):
        super().__init__()
        if not 0 < quantile < 1 or not 0 <= momentum < 1:
            raise UserError(
                f"Quantile margin: quantile {quantile!r}, momentum {momentum!r}. Give a quantile between 0 and 1 and a "
                "momentum from 0 to below 1."
            )
        self.quantile, self.momentum = quantile, momentum
        self.register_buffer("average", torch.tensor(math.nan))

    @torch.no_grad()
    def forward(self, values: Tensor, teacher: Outputs | None = None, labels: Tensor | None = None) -> Tensor:
        if not len(values) or (not self.training and not self.average.isnan()):
            return self.average.to(values.dtype).nan_to_num(0)
        now = values.quantile(self.quantile)
        average = torch.where(self.average.isnan(), now, self.momentum * self.average + (1 - self.momentum) * now)
        if self.training:
            self.average.copy_(average)
        return average.to(values.dtype)

    def extra_repr(self) -> str:
        return f"quantile={self.quantile:g}, momentum={self.momentum:g}"


class ClassSpreadMargin(nn.Module):
    """A margin per sample: scale · ℓ(μ_y, z_t), the loss that the teacher's own class mean would have, (N,).

    So a student within the teacher's class spread is left in peace: with `distance` it is α‖z_t − μ_y‖. class_means:
    Outputs of the C class means over training data. UserError on a loss that compares samples with each other or has
    layers of its own, for which a class mean has no loss. Source: our reading.

    >>> from xmkd_lib import losses
    >>> means = Outputs(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    >>> margin = ClassSpreadMargin(losses.create("l2"), means)
    >>> margin(torch.zeros(2), Outputs(torch.tensor([[1.0, 0.0], [1.0, 0.0]])), torch.tensor([0, 1]))
    tensor([0., 2.])
    """

    def __init__(self, loss: Loss, class_means: Outputs, scale: float = 1.0):
        super().__init__()
        if loss.relational or not loss.same_width or not loss.reads:
            raise UserError(
                f"Loss {loss.name!r} has no value of a class mean alone, so there is no margin by class spread for it. "
                "Use a loss of single samples, such as 'l2' or 'kd', or another kind of margin."
            )
        if not 0 < scale < math.inf:
            raise UserError(f"Margin by class spread: scale is {scale!r}. Give a number above 0.")
        self.loss, self.scale = loss, scale
        self.register_buffer("embedding", class_means.embedding.detach().clone())
        self.register_buffer("logits", None if class_means.logits is None else class_means.logits.detach().clone())

    def __len__(self) -> int:
        return len(self.embedding)

    @torch.no_grad()
    def forward(self, values: Tensor, teacher: Outputs, labels: Tensor) -> Tensor:
        mean = Outputs(self.embedding[labels], None if self.logits is None else self.logits[labels])
        return self.scale * self.loss(mean, teacher, labels).to(values.dtype)

    def extra_repr(self) -> str:
        return f"scale={self.scale:g}"
