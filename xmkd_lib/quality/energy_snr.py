"""Signal-to-noise ratio of speech from the spread of its frame energies."""

import torch
from torch import Tensor

from xmkd_lib.quality.inputs import samples, waveforms
from xmkd_lib.quality.registry import ESTIMATORS

FRAME, HOP = 0.025, 0.010  # seconds
LOWEST, HIGHEST = -20.0, 100.0  # dB


@ESTIMATORS.register("speech.energy_snr")
class EnergySNR:
    """10·log10((P95 − P10)/P10) of the energies of 25/10 ms frames, dB in [-20, 100], (n,), of waveforms (n, T).

    Loud frames are taken for speech plus noise, the quietest for noise alone. One waveform (T,) gives a scalar.
    Independent of gain and of a constant offset; constant frames (zero padding, digital silence) are left out, and
    a waveform of nothing else gets -20. UserError on other shapes or on integer samples.

    Measured sign: positive. Spearman with the true SNR (uniform in -5 to 30 dB, 600 trimmed spoken digits of unheard
    speakers, 8 kHz): 0.87 with white noise, 0.69 with the noise clips (rain, engines, cries ...); 0.99 and 0.84 once
    0.15 s of pause is on either side. It predicts a recogniser's errors there: gains 0.40, 0.23, 0.43, 0.25. 600 voices
    of `people`, without pauses: 0.74 at -5 to 30 dB. Fails at 15 to 35 dB: 0.09, the voice's own loudness decides. On
    clipped digits it keeps the errors (gain -0.08), although it falls with the share of clipped samples (0.37).

    >>> import torch
    >>> time = torch.arange(16000) / 16000
    >>> tone = torch.sin(2 * torch.pi * 200 * time) * (time > 0.5)
    >>> noise = torch.randn(16000, generator=torch.Generator().manual_seed(0))
    >>> EnergySNR()(torch.stack([tone + 0.01 * noise, tone + 0.1 * noise])).round()
    tensor([37., 17.])
    """

    def __init__(self, sample_rate: int = 16000):
        self.frame, self.hop = (samples(length, sample_rate, "speech.energy_snr") for length in (FRAME, HOP))

    def __call__(self, batch: Tensor) -> Tensor:
        batch = waveforms(batch, "speech.energy_snr")
        if not batch.numel():  # no waveforms, of which there are no quantiles
            return batch.new_zeros(0)
        frames = batch.unfold(-1, min(self.frame, batch.shape[-1]), self.hop)
        energy = frames.var(-1, correction=0)
        # 120 dB below the offset is a constant with rounding
        energy = energy.masked_fill(energy <= 1e-12 * frames.square().mean(-1), torch.nan)
        low, high = energy.nanquantile(energy.new_tensor([0.10, 0.95]), dim=-1)
        return (10 * torch.log10((high - low) / low)).nan_to_num(LOWEST).clamp(LOWEST, HIGHEST)
