"""What a student or a teacher hands to a loss."""

from typing import NamedTuple

from torch import Tensor


class Outputs(NamedTuple):
    """Embedding and class scores of a batch, for student and teacher alike.

    embedding: (N, D), not normalised. logits: (N, C), or None where there is no classifier.
    """

    embedding: Tensor
    logits: Tensor | None = None
