"""The teacher's margin."""

import torch
from torch import Tensor

from xmkd_lib.outputs import Outputs
from xmkd_lib.quality.registry import ESTIMATORS
from xmkd_lib.quality.teacher_outputs import logits_of, own_class


@ESTIMATORS.register("teacher.logit_margin")
class LogitMargin:
    """The teacher's logit of the sample's own class less the largest other one, (n,).

    Unlike confidence it does not saturate. UserError without logits or on a label that is no class of the teacher.

    Measured sign: positive, on 600 held-out drawn faces of 50 people. 30 % of them given to another person: gain 0.96.
    Spearman with blur -0.37, noise -0.27, haze -0.74, overexposure -0.58. Its gain on the teacher's own errors is 1.00
    by construction: it knows the label.

    >>> logits = torch.tensor([[0.0, 2.0, 5.0]])
    >>> LogitMargin()(Outputs(logits, logits), torch.tensor([1]))
    tensor([-3.])
    """

    def __call__(
        self,
        outputs: Outputs,
        labels: Tensor,
        reference: Outputs | None = None,
        reference_labels: Tensor | None = None,
    ) -> Tensor:
        logits = logits_of(outputs, "teacher.logit_margin")
        own = own_class(logits, labels, "teacher.logit_margin")
        if logits.shape[1] == 1:  # no other class to lose to
            return torch.zeros_like(logits[:, 0])
        return logits.where(own, 0).sum(1) - logits.masked_fill(own, -torch.inf).amax(1)
