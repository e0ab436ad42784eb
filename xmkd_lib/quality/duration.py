"""How much of a recording is speech."""

import torch
from torch import Tensor

from xmkd_lib.quality.inputs import samples, waveforms
from xmkd_lib.quality.registry import ESTIMATORS

FRAME, HOP = 0.025, 0.010  # seconds
DEPTH = 30.0  # dB below the loud frames


@ESTIMATORS.register("speech.duration")
class Duration:
    """Active duration in seconds, (n,), of waveforms (n, T): 25/10 ms frames less than 30 dB below the loud ones.

    The loud level is the 95th percentile of the frames' energies, so gain does not matter. A constant waveform has
    none. One waveform (T,) gives a scalar. UserError on other shapes or integer samples.

    Measured sign: positive. Spearman with the share of a spoken digit that is left, the rest silence: 0.96 (600
    digits); it predicts a recogniser's errors there, gain 0.36. Reverses with noise, which it takes for speech: with
    the SNR -0.28 and, in pauses of 0.15 s, -0.73 (white noise); -0.21 and -0.75 (noise clips); gain down to -0.19.

    >>> import torch
    >>> tone = torch.sin(torch.arange(16000) * 0.1)
    >>> Duration(sample_rate=16000)(torch.stack([tone, tone * (torch.arange(16000) < 8000), 0 * tone]))
    tensor([0.9800, 0.5000, 0.0000])
    """

    def __init__(self, sample_rate: int = 16000):
        self.frame, self.hop = (samples(length, sample_rate, "speech.duration") for length in (FRAME, HOP))
        self.step = self.hop / sample_rate

    def __call__(self, batch: Tensor) -> Tensor:
        batch = waveforms(batch, "speech.duration")
        if not batch.numel():  # no waveforms, of which there are no quantiles
            return batch.new_zeros(0)
        frames = batch.unfold(-1, min(self.frame, batch.shape[-1]), self.hop)
        energy = frames.var(-1, correction=0)
        rounding = 1e-12 * frames.square().mean(-1)  # 120 dB below the offset is a constant
        loud = torch.quantile(energy, 0.95, dim=-1, keepdim=True)
        active = (energy > rounding) & (energy > loud * 10 ** (-DEPTH / 10))
        return active.sum(-1) * self.step
