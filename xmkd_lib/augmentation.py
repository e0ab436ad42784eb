"""Other views of what a teacher reads: small changes that should not change whom or what it recognises."""

import torch
from torch import Tensor

from xmkd_lib.errors import unknown_name
from xmkd_lib.features import shifted

# shift: pixels each way, or frames of 10 ms. noise: standard deviation in the features' own unit, which is a quarter of
# the range from black to white, or the natural logarithm of power. drop: share of the words.
VIEWS: dict[str, dict[str, float]] = {
    "image": {"shift": 2, "noise": 0.05},
    "speech": {"shift": 10, "noise": 0.1},
    "text": {"drop": 0.1},
}


def view(features: Tensor, modality: str, generator: torch.Generator) -> Tensor:
    """One augmented view of every sample, of the shape and dtype of `features`, by `VIEWS[modality]` (our reading).

    Images (n, C, H, W) are shifted with their edges repeated, speech (n, mels, frames) is rolled in time; both get
    Gaussian noise. Text (n, words, pieces), int64 with 0 for padding, loses words; one that would lose all keeps all.
    The random numbers come from `generator`, on the CPU: every device gets the same view. UserError on another
    modality.

    >>> view(torch.tensor([[[7, 8], [9, 0]]]), "text", torch.Generator().manual_seed(0))
    tensor([[[7, 8],
             [9, 0]]])
    """
    if modality not in VIEWS:
        raise unknown_name("modality to augment", modality, VIEWS)
    return _CHANGES[modality](features, generator, **VIEWS[modality])


def _image(images: Tensor, generator: torch.Generator, shift: int, noise: float) -> Tensor:
    return _noisy(shifted(images, generator, shift), generator, noise)


def _speech(spectrograms: Tensor, generator: torch.Generator, shift: int, noise: float) -> Tensor:
    n, _, frames = spectrograms.shape
    later = torch.randint(-shift, shift + 1, (n, 1, 1), generator=generator)
    source = ((torch.arange(frames) - later) % frames).to(spectrograms.device)
    return _noisy(spectrograms.gather(2, source.expand_as(spectrograms)), generator, noise)


def _text(tokens: Tensor, generator: torch.Generator, drop: float) -> Tensor:
    there = (tokens != 0).any(2)
    kept = (torch.rand(tokens.shape[:2], generator=generator) >= drop).to(tokens.device) & there
    kept = torch.where(kept.any(1, keepdim=True), kept, there)
    return tokens * kept[:, :, None]


def _noisy(features: Tensor, generator: torch.Generator, sd: float) -> Tensor:
    return features + sd * torch.randn(features.shape, generator=generator).to(features)


_CHANGES = {"image": _image, "speech": _speech, "text": _text}
