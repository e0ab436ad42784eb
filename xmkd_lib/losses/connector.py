"""What losses share that train a small network of their own between student and teacher."""

from abc import abstractmethod

import torch
from torch import Tensor, nn

from xmkd_lib.errors import UserError
from xmkd_lib.losses.base import Loss
from xmkd_lib.losses.checks import whole
from xmkd_lib.outputs import Outputs


def perceptron(name: str, student_dim: int, teacher_dim: int) -> nn.Sequential:
    """Linear, ReLU, Linear: (N, student_dim) -> (N, teacher_dim). UserError on widths that are none."""
    whole(name, 1, student_dim=student_dim, teacher_dim=teacher_dim)
    return nn.Sequential(nn.Linear(student_dim, teacher_dim), nn.ReLU(), nn.Linear(teacher_dim, teacher_dim))


def check_widths(loss: Loss, widths: dict[str, int], student: Outputs, teacher: Outputs) -> None:
    """UserError where embeddings are not as wide as the loss's own layers were made for."""
    for who, side in (("student", student), ("teacher", teacher)):
        if side.embedding.shape[1] != widths[who]:
            raise UserError(
                f"Loss {loss.name!r} was made for {who} embeddings of width {widths[who]}, got shape "
                f"{tuple(side.embedding.shape)}. Create it with {who}_dim={side.embedding.shape[1]}."
            )


class ConnectorLoss(Loss):
    """A loss in the teacher's space, to which a trained connector maps the student. Write `compare`.

    The connector's parameters are trained with the student and dropped with the loss.
    """

    same_width = False

    def __init__(self, student_dim: int, teacher_dim: int):
        super().__init__()
        self.connector = perceptron(self.name, student_dim, teacher_dim)
        self.widths = {"student": student_dim, "teacher": teacher_dim}

    def check(self, student: Outputs, teacher: Outputs, labels: Tensor | None) -> None:
        super().check(student, teacher, labels)
        check_widths(self, self.widths, student, teacher)

    @abstractmethod
    def compare(self, z: Tensor, teacher: Outputs) -> Tensor:
        """The loss of predictions z (N, teacher_dim) of the teacher's embedding, (N,)."""

    def per_sample(self, student: Outputs, teacher: Outputs, labels: Tensor | None) -> Tensor:
        first = self.connector[0].weight
        z = self.connector(student.embedding.to(first.dtype))
        return self.compare(z.to(torch.promote_types(z.dtype, student.embedding.dtype)), teacher)

    def of_prediction(self, predicted: Outputs, teacher: Outputs, labels: Tensor | None) -> Tensor:
        return self.compare(predicted.embedding, teacher)
