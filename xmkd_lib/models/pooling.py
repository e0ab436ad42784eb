"""From a feature map of any length to one vector."""

import torch
from torch import Tensor, nn

FLOOR = 1e-5  # of a variance: the square root's gradient at 0 is infinite (one frame, or a constant channel)


class StatisticsPooling(nn.Module):
    """Mean and standard deviation over time: (N, C, frames) -> (N, 2C) (Snyder et al. 2018, x-vectors)."""

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(-1, keepdim=True)
        variance = (x - mean).square().mean(-1)  # torch's var is five times slower on a CPU
        return torch.cat([mean.squeeze(-1), (variance + FLOOR).sqrt()], -1)


class AttentiveStatisticsPooling(nn.Module):
    """Mean and deviation over time under weights of each channel's own: (N, C, frames) -> (N, 2C).

    A frame's weight in a channel is softmax over time of V tanh(W [h_t; μ; σ] + b) + k, where μ and σ are the plain
    statistics of the whole utterance. Source: Desplanques et al. 2020 (ECAPA-TDNN), §3.1, eqs. 1 to 3; tanh is our
    reading of its f, after Okabe et al. 2018.
    """

    def __init__(self, channels: int, bottleneck: int = 128):
        super().__init__()
        self.statistics = StatisticsPooling()
        self.frame = nn.Conv1d(channels, bottleneck, 1)  # with `context`, one matrix W on [h_t; μ; σ]
        self.context = nn.Linear(2 * channels, bottleneck, bias=False)
        self.score = nn.Conv1d(bottleneck, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.frame(x) + self.context(self.statistics(x)).unsqueeze(-1))
        weights = self.score(hidden).float().softmax(-1)
        mean = (weights * x).sum(-1, keepdim=True)
        variance = (weights * (x - mean).square()).sum(-1)
        return torch.cat([mean.squeeze(-1), (variance + FLOOR).sqrt()], -1)


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean over the positions where mask (N, L) is true: (N, L, D) -> (N, D). A row without any gives zeros.

    >>> masked_mean(torch.tensor([[[2.0], [4.0], [9.0]]]), torch.tensor([[True, True, False]]))
    tensor([[3.]])
    """
    kept = x.masked_fill(~mask[:, :, None], 0.0)  # not a product: what is padding may be no number
    return kept.sum(1) / mask.sum(1, keepdim=True).clamp_min(1)
