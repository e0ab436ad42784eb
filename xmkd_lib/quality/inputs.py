"""What input estimators accept: one check for each modality, whose errors name the estimator."""

import re
from collections.abc import Callable

import torch
from torch import Tensor

from xmkd_lib.errors import UserError

LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601


def luminance(batch: Tensor, estimator: str, least: int = 1) -> Tensor:
    """Images (n, 3 or 1, H, W), floats in [0, 1], as luminance (n, H, W) float32; one image (C, H, W) as (H, W).

    UserError naming `estimator` on other shapes, on fewer than `least` pixels a side, and on integer pixels.
    """
    if batch.ndim not in (3, 4) or batch.shape[-3] not in (1, 3) or min(batch.shape[-2:]) < least:
        size = f", at least {least} by {least}" if least > 1 else ""
        raise UserError(f"{estimator}: shape {tuple(batch.shape)}. Give (n, 3 or 1, H, W){size}.")
    if not batch.is_floating_point():
        raise UserError(f"{estimator}: pixels are {batch.dtype}. Give floats in [0, 1]: divide by 255.")
    batch = batch.float()
    if batch.shape[-3] == 1:
        return batch[..., 0, :, :]
    return (batch * batch.new_tensor(LUMINANCE)[:, None, None]).sum(-3)


def waveforms(batch: Tensor, estimator: str) -> Tensor:
    """Waveforms (n, T) or one (T,) as float32. UserError naming `estimator` on other shapes or integer samples."""
    if batch.ndim not in (1, 2) or not batch.shape[-1]:
        raise UserError(f"{estimator}: shape {tuple(batch.shape)}. Give waveforms (n, T) or one (T,).")
    if not batch.is_floating_point():
        raise UserError(f"{estimator}: samples are {batch.dtype}. Give floats: divide by 32768.")
    return batch.float()


def samples(seconds: float, sample_rate: int, estimator: str) -> int:
    """Seconds in samples. UserError naming `estimator` when the sample rate is none."""
    if not sample_rate >= 1000:
        raise UserError(f"{estimator}: sample_rate is {sample_rate!r}. Give samples per second.")
    return round(seconds * sample_rate)


def words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation.

    >>> words("Smiling face, open mouth!")
    ['smiling', 'face', 'open', 'mouth']
    """
    return re.findall(r"\w+", text.casefold())


def each_text(batch: list[str] | str, score: Callable[[list[str]], float], estimator: str) -> Tensor:
    """`score` of each text's words, (n,) float32; of one str a scalar. UserError naming what is no text."""
    if isinstance(batch, str):
        return torch.tensor(score(words(batch)))
    for place, text in enumerate(batch):
        if not isinstance(text, str):
            raise UserError(f"{estimator}: text {place} is {text!r} ({type(text).__name__}). Give a list of str.")
    return torch.tensor([score(words(text)) for text in batch], dtype=torch.float32)
