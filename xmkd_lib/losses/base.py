"""The contract of every loss: one value per sample, teacher detached, inputs checked, single precision or better."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from xmkd_lib.errors import UserError
from xmkd_lib.outputs import Outputs
from xmkd_lib.registry import Registry

LOSSES = Registry("loss")


class Loss(nn.Module, ABC):
    """Base of the losses: `loss(student, teacher, labels) -> (N,)`. Write `per_sample`, the rest is here.

    Constraint (`soften`), weights and the mean over the batch are applied outside. Half-precision inputs are
    computed in float32, also under autocast. No gradient reaches the teacher.

    level: what is compared, "feature" or "classifier". minimum: the smallest value (or infimum), 0.0, or None
    where it is not 0, so that a margin makes no sense. reads: the outputs compared. same_width: whether their widths
    must be equal for student and teacher. relational: whether samples are compared with each other, so that a row's
    value depends on its batch. normalise: whether embeddings are compared as unit vectors. formula, cost (memory and
    time beyond reading the inputs: N samples, D width, C classes) and source: for people, in the table of losses.
    """

    level: ClassVar[str]
    minimum: ClassVar[float | None] = 0.0
    reads: ClassVar[tuple[str, ...]] = ("embedding",)
    same_width: ClassVar[bool] = True
    relational: ClassVar[bool] = False
    needs_labels: ClassVar[bool] = False
    min_classes: ClassVar[int] = 1
    formula: ClassVar[str] = ""
    cost: ClassVar[str] = "N·D"
    source: ClassVar[str] = ""
    normalise: bool = False

    @abstractmethod
    def per_sample(self, student: Outputs, teacher: Outputs, labels: Tensor | None) -> Tensor:
        """The loss itself, (N,): inputs are checked, at least float32, and the teacher is detached."""

    def forward(self, student: Outputs, teacher: Outputs, labels: Tensor | None = None) -> Tensor:
        _check_tensors(self, student, teacher, labels)
        self.check(student, teacher, labels)
        student, teacher = student.map(_at_least_float32), teacher.map(_at_least_float32).map(Tensor.detach)
        with torch.autocast(student.embedding.device.type, enabled=False):
            values = self.per_sample(student, teacher, None if labels is None else labels.long())
        if values.shape != student.embedding.shape[:1]:
            raise UserError(
                f"Loss {self.name!r} gave values of shape {tuple(values.shape)} for {len(student.embedding)} samples. "
                "Return one value per sample, (N,): weights and the mean are applied outside."
            )
        return values

    def of_prediction(self, predicted: Outputs, teacher: Outputs, labels: Tensor | None) -> Tensor:
        """The loss (N,) of a prediction of the teacher's outputs: for a loss with a connector, without it."""
        return self(predicted, teacher, labels)

    @property
    def name(self) -> str:
        """The name it is registered under, else the class name: for messages."""
        return next((name for name, factory in LOSSES.items() if factory is type(self)), type(self).__name__)

    def check(self, student: Outputs, teacher: Outputs, labels: Tensor | None) -> None:
        """UserError where shapes or labels do not fit. Reads shapes only, so that a GPU need not be waited for."""
        for field in self.reads:
            self._check_pair(field, getattr(student, field), getattr(teacher, field))
        if "logits" in self.reads and student.logits.shape[1] < self.min_classes:
            raise UserError(
                f"Loss {self.name!r}: logits {tuple(student.logits.shape)} have {student.logits.shape[1]} classes, "
                f"it needs at least {self.min_classes}. Use a feature-level loss."
            )
        if self.needs_labels:
            self._check_labels(labels, len(student.embedding), self.num_classes(student))

    def num_classes(self, student: Outputs) -> int | None:
        """Number of classes that labels must lie below (checked on the CPU); None where the loss fixes none."""
        return student.logits.shape[1] if "logits" in self.reads else None

    def _check_pair(self, field: str, student: Tensor | None, teacher: Tensor | None) -> None:
        for who, value in (("student", student), ("teacher", teacher)):
            if value is None:
                raise UserError(f"Loss {self.name!r} needs {field}, but the {who} has none. {_REMEDY[field]}")
            if value.ndim != 2:
                raise UserError(
                    f"Loss {self.name!r}: {field} of the {who} has shape {tuple(value.shape)}. "
                    "Give one row per sample: two dimensions."
                )
        if student.shape == teacher.shape:
            return
        shapes = f"student {tuple(student.shape)}, teacher {tuple(teacher.shape)}"
        if len(student) != len(teacher):
            raise UserError(f"Loss {self.name!r}: batch sizes differ: {shapes}. Pair the samples one to one.")
        if self.same_width:
            raise UserError(f"Loss {self.name!r}: {field} differs in width: {shapes}. {_REMEDY[field]}")

    def _check_labels(self, labels: Tensor | None, size: int, classes: int | None) -> None:
        if labels is None:
            raise UserError(f"Loss {self.name!r} needs labels, but none were given.")
        if labels.shape != (size,) or labels.is_floating_point():
            raise UserError(
                f"Loss {self.name!r}: labels are {labels.dtype} of shape {tuple(labels.shape)}. "
                f"Give integers of shape ({size},), one class per sample."
            )
        # On a GPU the comparison would wait for the device at every step; there the index kernel itself asserts.
        if classes is None or labels.device.type != "cpu" or not size:
            return
        low, high = (int(bound) for bound in labels.aminmax())
        if low < 0 or high >= classes:
            raise UserError(
                f"Loss {self.name!r}: labels span {low} to {high}, but the teacher has classes 0 to {classes - 1}. "
                "Samples of other identities have no class here: leave them out, or use a feature-level loss."
            )


def _check_tensors(loss: "Loss", student: Outputs, teacher: Outputs, labels: Tensor | None) -> None:
    for value in (*student, *teacher, labels):
        if value is not None and not isinstance(value, Tensor):
            raise UserError(
                f"Loss {loss.name!r} got a {type(value).__name__}. Give Outputs of tensors: torch.as_tensor(...)."
            )


_REMEDY = {
    "embedding": "Put a projector on the student that maps to the teacher's embedding width.",
    "logits": "Train both with a classifier over the same classes, or use a feature-level loss.",
}


def _at_least_float32(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def centred_unit(x: Tensor, dim: int) -> Tensor:
    """Less the mean along `dim` and scaled to length 1 there: inner products are Pearson correlations.

    A constant row, up to rounding, stays about zero and keeps a moderate gradient; a length below 1e-8 counts as that.
    """
    centred = x - x.mean(dim, keepdim=True)
    length = torch.linalg.vector_norm(centred, dim=dim, keepdim=True)
    rounding = 8 * torch.finfo(x.dtype).eps * torch.linalg.vector_norm(x.detach(), dim=dim, keepdim=True)
    return centred / length.clamp_min(1e-8).masked_fill(length.detach() <= rounding, 1)


def without_target(logits: Tensor, labels: Tensor) -> Tensor:
    """Logits (N, C) without each row's own class: (N, C − 1), order kept. No mask: a GPU need not be waited for."""
    others = torch.arange(logits.shape[1] - 1, device=logits.device).expand(len(logits), -1)
    return logits.gather(1, others + (others >= labels[:, None]))


def kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p ‖ q) of log-probabilities (N, C) per row, (N,), in nats."""
    return (log_p.exp() * (log_p - log_q)).sum(1)


def unit(z: Tensor) -> Tensor:
    """Rows of (N, D) scaled to length 1. A zero row stays zero and keeps a finite gradient."""
    norm = torch.linalg.vector_norm(z, dim=-1, keepdim=True)
    return z / norm.masked_fill(norm == 0, 1)
