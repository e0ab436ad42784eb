"""What a student or a teacher hands to a loss."""

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor


class Outputs(NamedTuple):
    """Embedding and class scores of a batch, for student and teacher alike.

    embedding: (N, D), not normalised. logits: (N, C), or None where there is no classifier.
    """

    embedding: Tensor
    logits: Tensor | None = None

    def map(self, change: Callable[[Tensor], Any]) -> "Outputs":
        """Both changed alike; absent logits stay absent.

        >>> import torch
        >>> Outputs(torch.zeros(3, 2)).map(lambda x: x[:1])
        Outputs(embedding=tensor([[0., 0.]]), logits=None)
        """
        return Outputs(*(None if value is None else change(value) for value in self))
