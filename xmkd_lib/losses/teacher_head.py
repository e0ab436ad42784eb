"""The teacher's own classifier judges the student's embedding."""

import torch
from torch import Tensor
from torch.nn import functional as F

from xmkd_lib.errors import UserError
from xmkd_lib.losses.base import LOSSES, Loss, unit
from xmkd_lib.losses.checks import above, classifier
from xmkd_lib.outputs import Outputs


@LOSSES.register("teacher_head")
class TeacherHead(Loss):
    """Cross-entropy of scale · Ŵ_t ẑ_s with the labels per sample, (N,), in nats.

    weight: the teacher's classifier rows (C, D), copied, normalised and frozen; scale: the inverse temperature of
    the cosines, best the one the teacher was trained with. The embedding (N, D) must fall into the teacher's cone
    for its class, not onto the teacher's point. 0 is the infimum, so a margin applies; with one it is the soft
    constraint at classifier level (our reading of arXiv 2507.16296, which publishes no formula).
    Labels (N,) must be the teacher's classes: checked on the CPU, left to the index kernel's assertion on a GPU.

    >>> import torch
    >>> from xmkd_lib.outputs import Outputs
    >>> head = TeacherHead(weight=torch.eye(2), scale=10.0)
    >>> z = Outputs(torch.tensor([[1.0, 0.0], [1.0, 1.0]]))
    >>> head(z, z, torch.tensor([0, 0])).round(decimals=3)
    tensor([0.0000, 0.6930])
    """

    level = "classifier"
    formula = "CE(scale·Ŵ_t ẑ_s, y)"
    cost = "N·C·D"
    source = "soft classifier constraint of arXiv 2507.16296: our reading"
    needs_labels = True
    normalise = True

    def __init__(self, weight: Tensor, scale: float = 16.0):
        super().__init__()
        classifier("teacher_head", weight=weight)
        above("teacher_head", 0, scale=scale)
        self.scale = scale
        self.register_buffer("weight", unit(weight.detach().to(torch.promote_types(weight.dtype, torch.float32))))

    def num_classes(self, student: Outputs) -> int:
        return len(self.weight)

    def check(self, student: Outputs, teacher: Outputs, labels: Tensor | None) -> None:
        super().check(student, teacher, labels)
        if student.embedding.shape[1] != self.weight.shape[1]:
            raise UserError(
                f"Loss 'teacher_head': embedding {tuple(student.embedding.shape)} does not fit the teacher's "
                f"classifier {tuple(self.weight.shape)}. Put a projector on the student that maps to its width."
            )

    def per_sample(self, student: Outputs, teacher: Outputs, labels: Tensor) -> Tensor:
        z = unit(student.embedding)
        log_p = F.log_softmax(self.scale * z @ self.weight.to(z.dtype).T, dim=1)
        # gather, not cross_entropy: that one would take the label -100 for "ignore" and return 0
        return -log_p.gather(1, labels[:, None])[:, 0]
