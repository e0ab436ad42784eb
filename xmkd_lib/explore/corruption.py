"""Inputs corrupted to a known strength: one pair at will, or a whole batch, each sample by a strength of its own."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from xmkd_lib import data
from xmkd_lib.data import PairedDataset
from xmkd_lib.errors import UserError
from xmkd_lib.modalities.corruption import add_noise, gaussian_blur

MISPAIRED = 0.3  # share of a batch


class Corruption(NamedTuple):
    """What is done to a pair; the defaults change nothing.

    blur: sd of a Gaussian in pixels. pixel_noise: sd of white noise, black to white being 1. snr_db: of white noise
    added to the voice. other_face: whether the face is another person's.
    """

    blur: float = 0.0
    pixel_noise: float = 0.0
    snr_db: float = math.inf
    other_face: bool = False


class Pairs(NamedTuple):
    """Faces (n, 3, H, W) in [0, 1], voices (n, T), and the labels (n,) of the people whose voices these are."""

    images: Tensor
    waveforms: Tensor
    labels: Tensor


def without_noise(people: PairedDataset) -> PairedDataset:
    """The same persons in the same sessions as in a data set `people`, but sharp, and with voices at 60 dB.

    What is corrupted from there has a known strength. UserError on another data set, which cannot be made again.
    """
    if people.name != "people":
        raise UserError(f"Data set {people.name!r}: only 'people' can be made again without its noise. Choose that.")
    return data.create("people", **{**people.params, "blur": [0.0, 0.0], "snr": [60.0, 60.0]})


def pairs(people: PairedDataset, rows: Sequence[int] | np.ndarray) -> Pairs:
    """Faces, voices and labels of some rows of a data set of faces and voices."""
    labels = people.table.label.to_numpy(dtype="int64")[rows]
    return Pairs(people.inputs("image", rows), people.inputs("speech", rows), torch.from_numpy(labels))


def corrupted(people: PairedDataset, row: int, corruption: Corruption) -> Pairs:
    """A row's pair after a corruption, n = 1; the noise of a row is the same in every call.

    Another person's face is that of the row half the split further on, or the next one whose person is another.
    """
    voice = pairs(people, [row])
    images = people.inputs("image", [_other(people, row)]) if corruption.other_face else voice.images
    images = with_pixel_noise(gaussian_blur(images, corruption.blur), corruption.pixel_noise, seed=row)
    noise = normal(voice.waveforms, seed=row)
    return Pairs(images, add_noise(voice.waveforms, noise, corruption.snr_db), voice.labels)


def _other(people: PairedDataset, row: int) -> int:
    labels = people.table.label.to_numpy()
    rows = people.rows(people.table.split.iloc[row])
    rows = np.roll(rows, -int(np.flatnonzero(rows == row)[0]) - len(rows) // 2)
    others = rows[labels[rows] != labels[row]]
    if not len(others):
        raise UserError(f"Row {row}: its split holds one person only, so there is no other face. Ask for more.")
    return int(others[0])


class Grades(NamedTuple):
    """Images or waveforms (n, ...), each corrupted by a strength of its own (n,).

    of: "images" or "waveforms". axis: what the strength is, with its unit. better: +1 where a larger value is less
    corruption, as of an SNR, else -1. errors (n,): where the corruption itself is the mistake to be found.
    """

    of: str
    axis: str
    strength: Tensor
    corrupted: Tensor
    better: int = -1
    errors: Tensor | None = None


def image_grades(images: Tensor) -> list[Grades]:
    """Images (n, C, H, W) in [0, 1], blurred, noisy, hazy and overexposed, by strengths drawn uniformly."""
    share = uniform(len(images), 0, 1, seed=1)
    each = share[:, None, None, None]
    return [
        Grades("images", "blur, sd in pixels", 3 * share, gaussian_blur(images, 3 * share)),
        Grades("images", "pixel noise, sd", 0.2 * share, with_pixel_noise(images, 0.2 * each, seed=2)),
        Grades("images", "haze, share of grey", 0.9 * share, images * (1 - 0.9 * each) + 0.45 * each),
        Grades("images", "gain, clipped at white", 1 + 2 * share, (images * (1 + 2 * each)).clamp(0, 1)),
    ]


def voice_grades(waveforms: Tensor, low: float, high: float) -> Grades:
    """Waveforms (n, T) with white noise at SNRs drawn uniformly between two bounds in dB."""
    snr = high - (high - low) * uniform(len(waveforms), 0, 1, seed=3)
    axis = f"white noise, SNR {low:g} to {high:g} dB"
    return Grades("waveforms", axis, snr, add_noise(waveforms, normal(waveforms, seed=4), snr), better=1)


def mispaired_images(images: Tensor) -> Grades:
    """Images (n, C, H, W), 30 % of which, drawn at random, have changed places: strength 1, else 0."""
    order, wrong = mispaired(len(images))
    return Grades("images", "another person's face, 0 or 1", wrong, images[order], errors=wrong)


def mispaired(n: int) -> tuple[Tensor, Tensor]:
    """Which row each of n is paired with, and whether that is another's (0 or 1): of 30 %, drawn at random."""
    cycle = torch.randperm(n, generator=torch.Generator().manual_seed(7))[: round(MISPAIRED * n)]
    order = torch.arange(n)
    order[cycle] = cycle.roll(1)
    return order, (order != torch.arange(n)).float()


def with_pixel_noise(images: Tensor, sd: Tensor | float, seed: int) -> Tensor:
    """Images (n, C, H, W) with white noise, cut to [0, 1]; sd: a number, or one that broadcasts."""
    return (images + sd * normal(images, seed)).clamp(0, 1)


def uniform(n: int, low: float, high: float, seed: int) -> Tensor:
    """Strengths (n,) between two bounds."""
    return low + (high - low) * torch.rand(n, generator=torch.Generator().manual_seed(seed))


def normal(like: Tensor, seed: int) -> Tensor:
    """White noise of the shape of `like`."""
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(seed))
