"""Speech: audio files to waveforms, waveforms to log-mel features."""

import math
import os
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from xmkd_lib.errors import UserError, unknown_name
from xmkd_lib.modalities._torchaudio import import_torchaudio

AVERAGED = {"band": (-1,), "level": (-2, -1)}
LARGEST_TERM = 2000  # of a ratio of sample rates: the resampler's memory grows with the product of both terms
LOUDEST = 1000.0  # full scale is 1


class LogMel(nn.Module):
    """Log-mel features less a mean of the utterance: (N, T) -> (N, n_mels, 1 + T // hop).

    subtract: "band" takes each band's mean over time away, and with it the channel (usual for long utterances of
    many microphones); "level" takes one mean over bands and time away: gain-invariant, but the long-term spectrum
    stays, which in a second of speech from one microphone tells much of the speaker. sample_rate, f_min and f_max in
    Hz (f_max: half the sample rate if None), window_ms and hop_ms in milliseconds. Power spectrum under a Hann
    window, HTK mel scale, natural logarithm; always in float32, also under autocast. `floor` is added to the power,
    so silence stays finite (zeros). The FFT is long enough that no mel band is empty. UserError on impossible
    settings and on waveforms shorter than half an FFT. Source: the VoxCeleb recipes (there 16 kHz and 80 bands).

    >>> LogMel(sample_rate=8000, n_mels=40)(torch.zeros(2, 8000)).shape
    torch.Size([2, 40, 101])
    """

    def __init__(
        self,
        sample_rate: int = 8000,
        n_mels: int = 40,
        window_ms: float = 25,
        hop_ms: float = 10,
        f_min: float = 20,
        f_max: float | None = None,
        floor: float = 1e-6,
        subtract: Literal["band", "level"] = "band",
    ):
        super().__init__()
        if subtract not in AVERAGED:
            raise unknown_name("mean to subtract in LogMel", subtract, AVERAGED)
        self.averaged = AVERAGED[subtract]
        f_max = sample_rate / 2 if f_max is None else f_max
        window, hop = round(sample_rate * window_ms / 1000), round(sample_rate * hop_ms / 1000)
        if not 0 <= f_min < f_max <= sample_rate / 2:
            raise UserError(f"LogMel: need 0 <= f_min < f_max <= {sample_rate / 2:g} Hz, got {f_min:g} and {f_max:g}.")
        if min(n_mels, window, hop) < 1 or floor <= 0:
            raise UserError(
                f"LogMel: n_mels={n_mels}, window_ms={window_ms:g}, hop_ms={hop_ms:g} and floor={floor:g} "
                "must be positive, window and hop at least one sample long."
            )
        bins = max(window, sample_rate / _narrowest_band(f_min, f_max, n_mels))
        self.n_fft = 2 ** math.ceil(math.log2(bins))
        self.sample_rate, self.n_mels, self.hop, self.floor = sample_rate, n_mels, hop, floor
        self.mel = import_torchaudio().transforms.MelSpectrogram(
            sample_rate,
            n_fft=self.n_fft,
            win_length=window,
            hop_length=hop,
            f_min=f_min,
            f_max=f_max,
            n_mels=n_mels,
        )

    def forward(self, waveform: Tensor) -> Tensor:
        if waveform.ndim != 2 or waveform.shape[1] <= self.n_fft // 2:
            raise UserError(
                f"LogMel: needs waveforms of shape (N, T) with T > {self.n_fft // 2} samples, "
                f"got {tuple(waveform.shape)}. Lengthen short ones with fit_length."
            )
        with torch.autocast(waveform.device.type, enabled=False):
            log_mel = torch.log(self.mel(waveform.float()) + self.floor)
            return log_mel - log_mel.mean(dim=self.averaged, keepdim=True)


def _narrowest_band(f_min: float, f_max: float, n_mels: int) -> float:
    """Width in Hz of the lowest triangle: FFT bins no further apart leave no band empty."""
    low, high = (2595 * math.log10(1 + f / 700) for f in (f_min, f_max))
    upper_edge = low + 2 * (high - low) / (n_mels + 1)
    return 700 * (10 ** (upper_edge / 2595) - 1) - f_min


def read_audio(path: str | Path, sample_rate: int) -> Tensor:
    """Read wav, flac, ogg or mp3 as (T,) float32 at `sample_rate` Hz: channels averaged, resampled.

    UserError names the file that is missing, no audio, empty, not finite or out of all scale (above 1000, where full
    scale is 1), or whose rate makes a ratio with a term above 2000, such as 44101 : 8000, and says what to do.
    """
    try:
        import soundfile
    except (ImportError, OSError) as error:
        raise UserError(
            f"{path}: soundfile, which reads audio, is missing ({error}). Run: pip install soundfile."
        ) from None
    path = Path(path)
    if not os.path.isfile(path):  # also false for a path that is too long
        raise UserError(f"{path}: there is no such audio file. Check the path, or fetch the data set again.")
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        raise UserError(
            f"{path}: not a readable audio file ({error}). Replace it by a whole wav, flac, ogg or mp3 file."
        ) from None
    if not len(samples):
        raise UserError(f"{path}: the audio is empty (zero samples). Remove or replace it.")
    waveform = torch.from_numpy(samples).mean(dim=1)
    if not waveform.isfinite().all():
        raise UserError(f"{path}: the audio has samples that are not finite numbers. Convert it again.")
    if waveform.abs().max() > LOUDEST:
        raise UserError(
            f"{path}: the audio has samples up to {float(waveform.abs().max()):g}, where full scale is 1. Convert it "
            "again."
        )
    if rate == sample_rate:
        return waveform
    if max(rate, sample_rate) // math.gcd(rate, sample_rate) > LARGEST_TERM:
        raise UserError(
            f"{path}: has {rate} Hz, which the resampler cannot turn into {sample_rate} Hz in reasonable memory: their "
            f"ratio has a term above {LARGEST_TERM}. Convert the file to {sample_rate} Hz with another program."
        )
    return import_torchaudio().functional.resample(waveform, rate, sample_rate)


def fit_length(waveform: Tensor, samples: int) -> Tensor:
    """Exactly `samples` along the last axis: the centre of a longer waveform, a shorter one repeated.

    >>> fit_length(torch.tensor([1, 2, 3, 4, 5]), 3), fit_length(torch.tensor([1, 2, 3]), 5)
    (tensor([2, 3, 4]), tensor([1, 2, 3, 1, 2]))
    """
    length = waveform.shape[-1]
    if samples < 1 or length < 1:
        raise UserError(f"fit_length: cannot make {samples} samples of {length}. Both must be at least 1.")
    if length >= samples:
        start = (length - samples) // 2
        return waveform[..., start : start + samples]
    return waveform[..., torch.arange(samples, device=waveform.device) % length]
