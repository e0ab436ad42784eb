"""Where quality estimators are entered, and what each must keep to."""

from typing import Protocol

from torch import Tensor

from xmkd_lib.outputs import Outputs
from xmkd_lib.registry import Registry

ESTIMATORS = Registry("quality estimator")


class Estimator(Protocol):
    """`image.`, `speech.`, `text.`: scores inputs of one modality, (n, ...) to (n,), higher is better; one to a scalar.

    Texts come as list[str]. A parameter `sample_rate` (Hz) or `texts` (the training texts) is given to those that
    have it. The prefix of a name says which of the calls in this module it answers.
    """

    def __call__(self, batch: Tensor) -> Tensor: ...


class TeacherEstimator(Protocol):
    """`teacher.`: scores what a teacher makes of its inputs, Outputs of n rows to (n,), higher is better.

    Out of fold: the teacher must not have seen the scored rows, or all would be sure and near their centres.
    `reference` are its outputs for other rows, which centres, mean and deviation may be taken from. `teacher.stability`
    alone is called with embeddings (n, V, D) of V augmented views instead.
    """

    def __call__(
        self, outputs: Outputs, labels: Tensor, reference: Outputs | None, reference_labels: Tensor | None
    ) -> Tensor: ...


class PairEstimator(Protocol):
    """`pair.`: scores n pairs of embeddings by how well they fit, (n, D) and (n, E) to (n,), higher is better.

    groups (n,): rows of one group are never used to judge each other.
    """

    def __call__(self, student: Tensor, teacher: Tensor, groups: Tensor | None = None) -> Tensor: ...
