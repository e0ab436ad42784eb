"""What input estimators accept: one check for each modality, whose errors name the estimator."""

import math
from collections.abc import Callable, Iterable
from numbers import Integral, Real

import torch
from torch import Tensor

from xmkd_lib.errors import UserError
from xmkd_lib.modalities.text import split_words

DARKEST, BRIGHTEST = -1, 2  # noise may lead out of [0, 1]; further out the pixels are of another scale
LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601


def luminance(batch: Tensor, estimator: str, least: int = 1) -> Tensor:
    """Images (n, 3 or 1, H, W), floats in [0, 1], as luminance (n, H, W) float32; one image (C, H, W) as (H, W).

    UserError naming `estimator` on what is no tensor, other shapes, fewer than `least` pixels a side, integer pixels,
    and pixels that are not finite or far out of [0, 1].
    """
    tensor(batch, estimator)
    if batch.ndim not in (3, 4) or batch.shape[-3] not in (1, 3) or min(batch.shape[-2:]) < least:
        size = f", at least {least} by {least}" if least > 1 else ""
        raise UserError(f"{estimator}: shape {tuple(batch.shape)}. Give (n, 3 or 1, H, W){size}.")
    if not batch.is_floating_point():
        raise UserError(f"{estimator}: pixels are {batch.dtype}. Give floats in [0, 1]: divide by 255.")
    batch = batch.float()
    finite(batch, 3, estimator)
    if batch.numel() and not DARKEST <= batch.min() <= batch.max() <= BRIGHTEST:
        found = f"{float(batch.min()):g} to {float(batch.max()):g}"
        raise UserError(f"{estimator}: pixels from {found}. Give floats in [0, 1]: divide by 255.")
    if batch.shape[-3] == 1:
        return batch[..., 0, :, :]
    return (batch * batch.new_tensor(LUMINANCE)[:, None, None]).sum(-3)


def waveforms(batch: Tensor, estimator: str) -> Tensor:
    """Waveforms (n, T) or one (T,) as float32.

    UserError naming `estimator` on what is no tensor, other shapes, integer samples, and samples that are not finite.
    """
    tensor(batch, estimator)
    if batch.ndim not in (1, 2) or not batch.shape[-1]:
        raise UserError(f"{estimator}: shape {tuple(batch.shape)}. Give waveforms (n, T) or one (T,).")
    if not batch.is_floating_point():
        raise UserError(f"{estimator}: samples are {batch.dtype}. Give floats: divide by 32768.")
    batch = batch.float()
    finite(batch, 1, estimator)
    return batch


def tensor(value: object, estimator: str) -> None:
    """UserError naming `estimator` where something else than a tensor is given, such as an array or a list."""
    if not isinstance(value, Tensor):
        raise UserError(f"{estimator}: got {type(value).__name__}. Give a tensor: torch.as_tensor(...).")


def finite(batch: Tensor, axes: int, estimator: str) -> None:
    """UserError saying how many samples, each of so many `axes`, hold NaN or infinity, and which is the first."""
    if batch.isfinite().all():
        return
    wrong = ~batch.reshape(-1, *batch.shape[batch.ndim - axes :]).isfinite().flatten(1).all(1)
    raise UserError(
        f"{estimator}: {int(wrong.sum())} of {len(wrong)} samples hold NaN or inf, first sample "
        f"{int(wrong.int().argmax())}. Mend or drop them."
    )


def is_number(value: object, whole: bool = False) -> bool:
    """Whether a setting is a finite number, and with `whole` an integer; truth values and text are none.

    >>> is_number(0.5), is_number(0.5, whole=True), is_number("1"), is_number(True), is_number(float("nan"))
    (True, False, False, False, False)
    """
    return isinstance(value, Integral if whole else Real) and not isinstance(value, bool) and math.isfinite(value)


def samples(seconds: float, sample_rate: int, estimator: str) -> int:
    """Seconds in samples. UserError naming `estimator` when the sample rate is none."""
    if not (is_number(sample_rate) and sample_rate >= 1000):
        raise UserError(f"{estimator}: sample_rate is {sample_rate!r}. Give samples per second.")
    return round(seconds * sample_rate)


def texts(batch: Iterable[str], estimator: str) -> list[str]:
    """A list of texts. UserError naming `estimator` and what is no text."""
    batch = list(batch)
    for place, text in enumerate(batch):
        if not isinstance(text, str):
            raise UserError(f"{estimator}: text {place} is {text!r} ({type(text).__name__}). Give a list of str.")
    return batch


def each_text(batch: list[str] | str, score: Callable[[list[str]], float], estimator: str) -> Tensor:
    """`score` of each text's words as the `Tokenizer` splits them, (n,) float32; of one str a scalar.

    UserError naming what is no text.
    """
    if isinstance(batch, str):
        return torch.tensor(score(split_words(batch)))
    return torch.tensor([score(split_words(text)) for text in texts(batch, estimator)], dtype=torch.float32)
