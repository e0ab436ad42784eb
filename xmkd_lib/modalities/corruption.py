"""Corruptions of known strength, as pure functions of a batch: noise at an SNR, blur, clipping."""

import torch
from torch import Tensor
from torch.nn import functional as F

from xmkd_lib.errors import UserError


def add_noise(waveforms: Tensor, noise: Tensor, snr_db: Tensor | float) -> Tensor:
    """Waveforms (n, T) with noise (n, T) at a signal-to-noise ratio in dB, one or (n,); powers are means over T.

    A silent waveform stays silent. UserError on other shapes and where the noise is silent.

    >>> wave, noise = torch.tensor([[1.0, -1.0]]), torch.tensor([[3.0, 3.0]])
    >>> add_noise(wave, noise, 20.0)
    tensor([[ 1.1000, -0.9000]])
    """
    if waveforms.ndim != 2 or noise.shape != waveforms.shape:
        raise UserError(f"add_noise: waveforms {tuple(waveforms.shape)}, noise {tuple(noise.shape)}. Both are (n, T).")
    snr_db = _per_sample(snr_db, waveforms, "add_noise")
    signal_power, noise_power = (x.square().mean(1) for x in (waveforms, noise))
    if not (noise_power > 0).all():
        silent = int((noise_power == 0).nonzero()[0])
        raise UserError(f"add_noise: the noise of sample {silent} is silent, so no SNR can be set. Give another one.")
    gain = (signal_power / noise_power / 10 ** (snr_db / 10)).sqrt()
    return waveforms + gain[:, None] * noise


def excerpts(clips: Tensor, count: int, samples: int, generator: torch.Generator) -> Tensor:
    """Random excerpts (count, samples) of random clips (k, L), for `add_noise`; none of them is all zeros.

    UserError where the clips are shorter than `samples`, or where one clip has no sound in some excerpt's length.
    """
    if clips.ndim != 2 or clips.shape[1] < samples:
        raise UserError(f"excerpts: clips of shape {tuple(clips.shape)} hold none of {samples} samples. Ask for less.")
    found = _cut(clips, count, samples, generator)
    for _ in range(100):
        silent = (found == 0).all(1)
        if not silent.any():
            return found
        found[silent] = _cut(clips, int(silent.sum()), samples, generator)
    raise UserError(f"excerpts: hardly any {samples} samples of the {len(clips)} clips have a sound. Give other clips.")


def gaussian_blur(images: Tensor, sigma: Tensor | float) -> Tensor:
    """Images (n, C, H, W) under a Gaussian of standard deviation sigma in pixels, one or (n,); edges repeated.

    sigma 0 changes nothing. The kernel ends at four times the largest sigma. UserError on other shapes, and on a sigma
    below 0 or so large that the kernel exceeds the image.

    >>> gaussian_blur(torch.tensor([0.0, 1.0, 0.0]).expand(1, 1, 3, 3), 0.5)[0, 0, 0].round(decimals=2)
    tensor([0.1100, 0.7900, 0.1100])
    """
    if images.ndim != 4:
        raise UserError(f"gaussian_blur: shape {tuple(images.shape)}. Give images (n, C, H, W).")
    sigma = _per_sample(sigma, images, "gaussian_blur")
    reach = int((4 * sigma.max()).ceil())
    if sigma.min() < 0 or reach > 4 * min(images.shape[-2:]):
        raise UserError(
            f"gaussian_blur: sigma {float(sigma.min()):g} to {float(sigma.max()):g} pixels. Give 0 to H or W."
        )
    offset = torch.arange(-reach, reach + 1, device=images.device)
    kernel = torch.exp(-0.5 * (offset / sigma.clamp_min(1e-3)[:, None]) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).to(images)
    for _ in ("columns", "rows"):
        images = _along_width(images.transpose(-1, -2), kernel, reach)
    return images


def clip(waveforms: Tensor, share: Tensor | float) -> Tensor:
    """Waveforms (n, T) cut off where the `share` of largest magnitudes begins, one or (n,) in [0, 1).

    UserError on other shapes or a share out of range.

    >>> clip(torch.tensor([[0.1, -0.2, 0.3, -0.4, 0.5]]), 0.5)
    tensor([[ 0.1000, -0.2000,  0.3000, -0.3000,  0.3000]])
    """
    if waveforms.ndim != 2:
        raise UserError(f"clip: shape {tuple(waveforms.shape)}. Give waveforms (n, T).")
    share = _per_sample(share, waveforms, "clip")
    if not ((share >= 0) & (share < 1)).all():
        raise UserError(f"clip: share {float(share.min()):g} to {float(share.max()):g}. Give shares from 0 to below 1.")
    magnitude = waveforms.abs().sort(dim=1).values
    place = ((1 - share) * (magnitude.shape[1] - 1)).round().long()
    level = magnitude.gather(1, place[:, None])
    return waveforms.clamp(-level, level)


def _per_sample(value: Tensor | float, batch: Tensor, name: str) -> Tensor:
    value = torch.as_tensor(value, dtype=batch.dtype, device=batch.device)
    if value.ndim > 1 or (value.ndim == 1 and len(value) != len(batch)):
        raise UserError(f"{name}: {tuple(value.shape)} strengths for {len(batch)} samples. Give one, or one each.")
    return value.expand(len(batch))


def _cut(clips: Tensor, count: int, samples: int, generator: torch.Generator) -> Tensor:
    which = torch.randint(len(clips), (count,), generator=generator).to(clips.device)
    start = torch.randint(clips.shape[1] - samples + 1, (count, 1), generator=generator).to(clips.device)
    return clips[which[:, None], start + torch.arange(samples, device=clips.device)]


def _along_width(images: Tensor, kernel: Tensor, reach: int) -> Tensor:
    """Every image (n, C, H, W) convolved along W with its own row of the kernel (n, 2·reach + 1)."""
    n, channels, height, width = images.shape
    padded = F.pad(images.reshape(n, -1, width), (reach, reach), mode="replicate")
    stacked = padded.transpose(0, 1)  # (rows of an image, n, width): one group a sample
    return F.conv1d(stacked, kernel[:, None], groups=n).transpose(0, 1).reshape(n, channels, height, width)
