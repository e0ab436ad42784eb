"""A small time-delay network for speech, quick enough for a laptop."""

from torch import Tensor, nn

from xmkd_lib.errors import UserError
from xmkd_lib.models.pooling import StatisticsPooling
from xmkd_lib.models.registry import registry


def _layer(inputs: int, outputs: int, kernel: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    padding = dilation * (kernel // 2)
    conv = nn.Conv1d(inputs, outputs, kernel, stride, padding, dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm1d(outputs), nn.ReLU(inplace=True))


@registry.register("tdnn")
class TDNN(nn.Module):
    """Dilated 1-D convolutions over time, statistics pooling, a linear layer (after Snyder et al. 2018).

    (N, mels, frames) -> (N, embedding_dim). `width` 1 means 64 channels; the first layer halves the frame rate.
    """

    def __init__(self, input_shape: tuple[int, ...], embedding_dim: int = 32, width: float = 1.0):
        super().__init__()
        if len(input_shape) != 2:
            raise UserError(
                f"model 'tdnn' reads spectrograms (mels, frames), got input shape {tuple(input_shape)}: use a resnet."
            )
        channels = max(4, round(64 * width))
        self.frames = nn.Sequential(
            _layer(input_shape[0], channels, 5, stride=2),
            _layer(channels, channels, 3),
            _layer(channels, channels, 3, dilation=2),
            _layer(channels, 2 * channels, 1),
        )
        self.pooling = StatisticsPooling()
        self.embedding = nn.Linear(4 * channels, embedding_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.embedding(self.pooling(self.frames(x)))
