"""The student's class weights beside the teacher's."""

import torch
from torch import Tensor

from xmkd_lib.errors import UserError
from xmkd_lib.losses.base import LOSSES, Loss, unit
from xmkd_lib.losses.checks import classifier
from xmkd_lib.outputs import Outputs


@LOSSES.register("centres")
class Centres(Loss):
    """1 − cos(W_s,y, W_t,y) per sample, (N,), within [0, 2]: of the sample's own class y.

    weight: the teacher's classifier rows (C, D), copied and frozen. student_weight: the student's own, the parameter
    itself and of equal shape; the gradient goes there and to no embedding. The batch mean weighs classes as they occur.
    With a hinge it is (1 − cos − m)₊. Labels (N,). Source: our reading.

    >>> import torch
    >>> from xmkd_lib.outputs import Outputs
    >>> loss = Centres(weight=torch.eye(2), student_weight=torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
    >>> loss(Outputs(torch.zeros(2, 2)), Outputs(torch.zeros(2, 2)), torch.tensor([0, 1]))
    tensor([0., 1.])
    """

    level = "classifier"
    reads = ()
    needs_labels = True
    formula = "1 − cos(W_s,y, W_t,y)"
    cost = "C·D"
    source = "our reading"

    def __init__(self, weight: Tensor, student_weight: Tensor):
        super().__init__()
        classifier("centres", weight=weight, student_weight=student_weight)
        if weight.shape != student_weight.shape:
            raise UserError(
                f"Loss 'centres': teacher's classifier {tuple(weight.shape)}, student's {tuple(student_weight.shape)}. "
                "Both must be (classes, width) and equal: train the teacher at the student's embedding width."
            )
        self.register_buffer("weight", weight.detach().clone())
        self.student_weight = student_weight  # a parameter stays one: the optimiser already has it

    def num_classes(self, student: Outputs) -> int:
        return len(self.weight)

    def of_prediction(self, predicted: Outputs, teacher: Outputs, labels: Tensor | None) -> Tensor:
        """Zeros (N,): no outputs are compared, and the teacher's own weights are its own."""
        return torch.zeros_like(teacher.embedding[:, 0])

    def per_sample(self, student: Outputs, teacher: Outputs, labels: Tensor) -> Tensor:
        own = self.student_weight.to(torch.promote_types(self.student_weight.dtype, torch.float32))
        gap = unit(own) - unit(self.weight.to(own.dtype))
        return (gap.square().sum(1) / 2)[labels]
