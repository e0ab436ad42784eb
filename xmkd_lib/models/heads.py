"""Classifier heads: plain logits for inference and distillation, and the training logits with a margin."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xmkd_lib.errors import UserError


class LinearHead(nn.Module):
    """Logits W z + b: (N, D) -> (N, C)."""

    def __init__(self, embedding_dim: int, num_classes: int):
        super().__init__()
        self.linear = nn.Linear(embedding_dim, num_classes)

    @property
    def weight(self) -> Tensor:
        """Class weights (C, D)."""
        return self.linear.weight

    def forward(self, embedding: Tensor) -> Tensor:
        return self.linear(embedding)

    def training_logits(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The logits that cross-entropy sees in training: here the plain ones."""
        return logits


class AAMHead(nn.Module):
    """Additive angular margin: scale·cos θ for inference, scale·cos(θ_y + margin) for the own class in training.

    (N, D) -> (N, C). Margin in radians; margin 0 is the cosine softmax. Source: Deng et al. 2019 (ArcFace), eq. 3.
    Beyond θ + margin = π, where the cosine would rise again, the linear continuation of the authors' code is used. The
    cosine is clamped to ±(1 − 1e-7), since the derivative of acos is infinite at ±1.
    """

    def __init__(self, embedding_dim: int, num_classes: int, scale: float = 32.0, margin: float = 0.2):
        super().__init__()
        if not 0 <= margin < math.pi / 2 or not scale > 0:
            raise UserError(f"AAM head: margin {margin} must be in [0, π/2) radians and scale {scale} above 0.")
        self.weight = nn.Parameter(torch.empty(num_classes, embedding_dim))
        nn.init.xavier_normal_(self.weight)
        self.scale, self.margin = scale, margin

    def forward(self, embedding: Tensor) -> Tensor:
        with torch.autocast(embedding.device.type, enabled=False):
            return self.scale * F.linear(F.normalize(embedding.float()), F.normalize(self.weight.float()))

    def training_logits(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Plain logits (N, C) with the margin added to the angle of each row's own class."""
        if self.margin == 0:
            return logits
        own = labels[:, None]
        cosine = (logits.gather(1, own) / self.scale).clamp(-1 + 1e-7, 1 - 1e-7)
        angle = torch.acos(cosine) + self.margin
        beyond = cosine - self.margin * math.sin(self.margin)
        return logits.scatter(1, own, self.scale * torch.where(angle < math.pi, angle.cos(), beyond))
