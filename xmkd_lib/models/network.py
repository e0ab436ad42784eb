"""Encoder and head as one model: teacher and student alike."""

from torch import Tensor, nn

from xmkd_lib.models.heads import AAMHead, LinearHead
from xmkd_lib.outputs import Outputs


class Network(nn.Module):
    """Features (N, ...) -> Outputs(embedding (N, D), logits (N, C)).

    `projector` maps the student's embedding to the teacher's width where these differ; it serves the distillation
    losses only, and the student is used without it.
    """

    def __init__(self, encoder: nn.Module, head: LinearHead | AAMHead, projector: nn.Module | None = None):
        super().__init__()
        self.encoder, self.head = encoder, head
        self.projector = projector if projector is not None else nn.Identity()

    def forward(self, features: Tensor) -> Outputs:
        embedding = self.encoder(features)
        return Outputs(embedding, self.head(embedding))

    def for_teacher(self, outputs: Outputs) -> Outputs:
        """The outputs in the teacher's embedding space: what distillation losses compare."""
        return Outputs(self.projector(outputs.embedding), outputs.logits)


def count_parameters(model: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
