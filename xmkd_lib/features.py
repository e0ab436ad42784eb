"""Raw inputs to what a network reads, in batches on the training device."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from xmkd_lib.cache import digest
from xmkd_lib.data import PairedDataset
from xmkd_lib.errors import unknown_name
from xmkd_lib.modalities import LogMel, Tokenizer

CHUNK = 256


def tokenizer(dataset: PairedDataset) -> Tokenizer:
    """The tokenizer of a data set's text, fitted on the rows of its training split."""
    return Tokenizer.fit(dataset.inputs("text", dataset.rows("train")))


def preprocessing(dataset: PairedDataset, modality: str) -> dict[str, Any]:
    """What is done to a modality's raw input, as JSON: part of a teacher bank's key."""
    if modality == "image":
        return {"mean": 0.5, "std": 0.25}
    if modality == "speech":
        return {"sample_rate": dataset.sample_rate, "n_mels": 40, "subtract": "level"}
    if modality == "text":
        return {"tokenizer": digest(tokenizer(dataset).to_json())}
    raise unknown_name("modality", modality, ("image", "speech", "text"))


def front_end(dataset: PairedDataset, modality: str, device: torch.device | str) -> Callable[[Any], Tensor]:
    """What turns a modality's raw inputs into what a network reads, both on `device` (texts: from a list, on the CPU).

    Images (n, 3, H, W) are standardised, speech (n, T) becomes log-mel (n, mels, frames), texts ids (n, words, pieces)
    int64. Constants are fixed, and the tokenizer is fitted on the training split: no statistic of test data enters.
    """
    if modality == "text":
        return tokenizer(dataset)
    settings = preprocessing(dataset, modality)
    if modality == "image":
        return lambda images: (images - settings["mean"]) / settings["std"]
    return LogMel(**settings).to(device)


@torch.no_grad()
def extract(dataset: PairedDataset, modality: str, device: torch.device | str) -> Tensor:
    """Features of all rows on `device`, as `front_end` makes them."""
    read = front_end(dataset, modality, device)
    if modality == "text":
        return read(dataset.inputs("text", range(len(dataset)))).to(device)
    rows = torch.arange(len(dataset)).split(CHUNK)
    return torch.cat([read(dataset.inputs(modality, chunk.numpy()).to(device)) for chunk in rows])


def shifted(images: Tensor, generator: torch.Generator, most: int) -> Tensor:
    """Augmentation: every image (n, C, H, W) moved by up to `most` pixels each way, its edges repeated."""
    n, _, height, width = images.shape
    down, right = torch.randint(0, 2 * most + 1, (2, n), generator=generator).to(images.device)
    rows = (torch.arange(height, device=images.device) + down[:, None] - most).clamp(0, height - 1)
    columns = (torch.arange(width, device=images.device) + right[:, None] - most).clamp(0, width - 1)
    sample = torch.arange(n, device=images.device)[:, None, None]
    return images.permute(0, 2, 3, 1)[sample, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
