"""ECAPA-TDNN, the strong speaker encoder of recent years."""

import torch
from torch import Tensor, nn

from xmkd_lib.errors import UserError
from xmkd_lib.models.pooling import AttentiveStatisticsPooling
from xmkd_lib.models.registry import registry

SCALE = 8  # groups of channels in a Res2 convolution
BOTTLENECK = 128  # of squeeze-excitation and of attention
AGGREGATED = 1536  # channels after the multi-layer feature aggregation


def _layer(inputs: int, outputs: int, kernel: int = 1, dilation: int = 1) -> nn.Sequential:
    """Convolution over time that keeps the number of frames, then ReLU and batch normalisation, in this order."""
    conv = nn.Conv1d(inputs, outputs, kernel, padding=dilation * (kernel // 2), dilation=dilation)
    return nn.Sequential(conv, nn.ReLU(), nn.BatchNorm1d(outputs))


class Res2Conv(nn.Module):
    """Channels in 8 groups, each but the first convolved together with the result of the one before: shape kept.

    Source: Gao et al. 2019 (Res2Net), eq. 1.
    """

    def __init__(self, channels: int, dilation: int):
        super().__init__()
        group = channels // SCALE
        self.layers = nn.ModuleList(_layer(group, group, 3, dilation) for _ in range(SCALE - 1))

    def forward(self, x: Tensor) -> Tensor:
        first, *others = x.chunk(SCALE, 1)
        done = [first]
        for index, (layer, part) in enumerate(zip(self.layers, others, strict=True)):
            done.append(layer(part + done[-1] if index else part))
        return torch.cat(done, 1)


class SqueezeExcitation(nn.Module):
    """Each channel times a gate in (0, 1) that is computed from all channels' means over time (Hu et al. 2018)."""

    def __init__(self, channels: int):
        super().__init__()
        self.gate = nn.Sequential(
            nn.Linear(channels, BOTTLENECK), nn.ReLU(), nn.Linear(BOTTLENECK, channels), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x.mean(-1)).unsqueeze(-1)


class SERes2Block(nn.Module):
    """Dense layer, Res2 convolution, dense layer, squeeze-excitation, beside a shortcut: (N, C, frames) kept."""

    def __init__(self, channels: int, dilation: int):
        super().__init__()
        self.layers = nn.Sequential(
            _layer(channels, channels),
            Res2Conv(channels, dilation),
            _layer(channels, channels),
            SqueezeExcitation(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


@registry.register("ecapa_tdnn")
class ECAPA(nn.Module):
    """ECAPA-TDNN: log-mel (N, mels, frames), any number of frames -> (N, embedding_dim).

    `width` 1 means 512 channels, 2 means 1024, the two sizes published (6.2 and 14.7 million parameters); others are
    rounded to a multiple of 8. Each block reads the sum of all earlier outputs; the three blocks' outputs are
    concatenated and mixed to 1536 channels, below width 1 to 3 times the channels.
    Source: Desplanques et al. 2020, arXiv 2005.07143, figure 2.
    """

    def __init__(self, input_shape: tuple[int, ...], embedding_dim: int = 192, width: float = 1.0):
        super().__init__()
        if len(input_shape) != 2:
            raise UserError(
                f"model 'ecapa_tdnn' reads spectrograms (mels, frames), got input shape {tuple(input_shape)}: "
                "use a resnet."
            )
        channels = SCALE * max(1, round(512 * width / SCALE))
        aggregated = min(AGGREGATED, 3 * channels)
        self.stem = _layer(input_shape[0], channels, 5)
        self.blocks = nn.ModuleList(SERes2Block(channels, dilation) for dilation in (2, 3, 4))
        self.aggregation = nn.Sequential(nn.Conv1d(3 * channels, aggregated, 1), nn.ReLU())
        self.pooling = AttentiveStatisticsPooling(aggregated, BOTTLENECK)
        self.embedding = nn.Sequential(
            nn.BatchNorm1d(2 * aggregated), nn.Linear(2 * aggregated, embedding_dim), nn.BatchNorm1d(embedding_dim)
        )

    def forward(self, x: Tensor) -> Tensor:
        total = self.stem(x)
        outputs = []
        for block in self.blocks:
            outputs.append(block(total))
            total = total + outputs[-1]
        return self.embedding(self.pooling(self.aggregation(torch.cat(outputs, 1))))
