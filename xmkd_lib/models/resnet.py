"""Residual networks for images and for spectrograms (He et al. 2016)."""

import torch.nn.functional as F
from torch import Tensor, nn

from xmkd_lib.errors import UserError
from xmkd_lib.models.pooling import StatisticsPooling
from xmkd_lib.models.registry import registry


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut: (N, in, H, W) -> (N, out, H/stride, W/stride)."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class ResNet(nn.Module):
    """Four stages of basic blocks: images (N, 3, H, W) or spectrograms (N, mels, frames) -> (N, embedding_dim).

    `width` scales the channels: width 1 means 32, 64, 128, 256 in the four stages, the size usual in speaker
    recognition; the paper's student has 1/4, 1/2 and 1. Images are averaged over space; spectrograms keep their
    frequency axis and pool mean and standard deviation over time. `stem_stride` 2 halves the resolution at once; `grid`
    is the number of cells each way that an image is averaged in.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        embedding_dim: int = 256,
        width: float = 1.0,
        blocks: tuple[int, int, int, int] = (3, 4, 6, 3),
        stem_stride: int = 1,
        grid: int = 1,
    ):
        super().__init__()
        if len(input_shape) not in (2, 3):
            raise UserError(
                "a resnet reads images (channels, H, W) or spectrograms (mels, frames), got input shape "
                f"{tuple(input_shape)}."
            )
        self.spectrogram = len(input_shape) == 2
        channels = [max(4, round(32 * width)) * 2**stage for stage in range(4)]
        inputs = 1 if self.spectrogram else input_shape[0]
        self.stem = nn.Sequential(
            nn.Conv2d(inputs, channels[0], 3, stem_stride, 1, bias=False), nn.BatchNorm2d(channels[0]), nn.ReLU()
        )
        layers, previous = [], channels[0]
        for stage, (count, outputs) in enumerate(zip(blocks, channels, strict=True)):
            for index in range(count):
                layers.append(BasicBlock(previous, outputs, 2 if index == 0 and stage > 0 else 1))
                previous = outputs
        self.stages = nn.Sequential(*layers)
        self.pooling = (
            StatisticsPooling() if self.spectrogram else nn.Sequential(nn.AdaptiveAvgPool2d(grid), nn.Flatten())
        )
        rows = -(-input_shape[0] // (8 * stem_stride))  # of the frequency axis after three or four halvings
        self.embedding = nn.Linear(previous * (2 * rows if self.spectrogram else grid**2), embedding_dim)

    def forward(self, x: Tensor) -> Tensor:
        if self.spectrogram:
            return self.embedding(self.pooling(self.stages(self.stem(x.unsqueeze(1))).flatten(1, 2)))
        return self.embedding(self.pooling(self.stages(self.stem(x))))


@registry.register("resnet34")
def resnet34(input_shape: tuple[int, ...], embedding_dim: int = 256, width: float = 1.0) -> ResNet:
    """The paper's 34-layer network; `width` 1/4, 1/2 or 1."""
    return ResNet(input_shape, embedding_dim, width)


@registry.register("resnet_small")
def resnet_small(input_shape: tuple[int, ...], embedding_dim: int = 32, width: float = 0.5) -> ResNet:
    """One block a stage, a strided stem, and 3x3 cells that keep where things are in an image: for CPUs."""
    return ResNet(input_shape, embedding_dim, width, blocks=(1, 1, 1, 1), stem_stride=2, grid=3)
