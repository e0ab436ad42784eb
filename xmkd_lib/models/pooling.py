"""From a feature map of any length to one vector."""

import torch
from torch import Tensor, nn


class StatisticsPooling(nn.Module):
    """Mean and standard deviation over time: (N, C, frames) -> (N, 2C) (Snyder et al. 2018, x-vectors).

    The variance gets a floor, because the square root's gradient at 0 is infinite (one frame, or a constant channel).
    """

    def forward(self, x: Tensor) -> Tensor:
        variance = x.var(-1, correction=0)
        return torch.cat([x.mean(-1), (variance + 1e-5).sqrt()], -1)
