"""Samples to look at and to listen to, side by side."""

import base64
import html
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from xmkd_lib.data.base import PairedDataset
from xmkd_lib.errors import UserError

FACE = 96  # pixels on the page
CARD = "display:inline-block;vertical-align:top;margin:4px 14px 8px 0;font-size:13px;line-height:1.35"


class Page:
    """HTML that Jupyter shows, with the same in plain words for where HTML is not shown."""

    def __init__(self, page: str, words: str):
        self.page, self.words = page, words

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/html": self.page, "text/plain": self.words}


def player(waveform: Tensor | np.ndarray, sample_rate: int, label: str) -> Page:
    """A player for a waveform (T,), as loud as 16 bits allow, with its label beside it. UserError on other shapes."""
    return Page(f"<div style='{CARD}'>{_audio(waveform, sample_rate, label)}<br>{html.escape(label)}</div>", label)


def cards(dataset: PairedDataset, rows: Sequence[int], caption: Callable[[pd.Series], str] | None = None) -> Page:
    """Both modalities of some rows beside each other: faces to look at, voices to play, texts to read.

    rows: positions in `dataset.table`. caption: a row of the table -> its text; identity and session unless given.
    """
    found, words = [], []
    for row in rows:
        entry = dataset.table.iloc[row]
        text = caption(entry) if caption else f"{entry.identity}, session {entry.session}"
        parts = [
            _shown(dataset, modality, row, text) for modality in (dataset.teacher_modality, dataset.student_modality)
        ]
        found.append(f"<div style='{CARD}'>{' '.join(parts)}<br>{html.escape(text)}</div>")
        words.append(text)
    return Page("".join(found), "\n".join(words))


def _shown(dataset: PairedDataset, modality: str, row: int, text: str) -> str:
    value = dataset.inputs(modality, [row])[0]
    if modality == "image":
        return _image(value, f"{modality} of {text}")
    if modality == "speech":
        return _audio(value, dataset.sample_rate, f"{modality} of {text}")
    return f"<q>{html.escape(str(value))}</q>"


def _image(pixels: Tensor, label: str) -> str:
    """An <img> of pixels (C, H, W) in [0, 1], C of 1 or 3. UserError on values that are not finite."""
    if not pixels.isfinite().all():
        raise UserError(f"The {label} has pixels that are not finite. Look at the file it was read from.")
    coloured = pixels.clamp(0, 1).mul(255).round().to(torch.uint8).expand(3, -1, -1).permute(1, 2, 0)
    buffer = io.BytesIO()
    Image.fromarray(coloured.contiguous().numpy()).save(buffer, "PNG")
    return f"<img alt='{html.escape(label, quote=True)}' width={FACE} src='{_uri('image/png', buffer)}'>"


def _audio(waveform: Any, sample_rate: int, label: str) -> str:
    """An <audio> of a waveform (T,), scaled to its peak, as 16-bit WAV."""
    import soundfile

    wave = np.asarray(waveform, dtype=np.float32)
    if wave.ndim != 1 or not np.isfinite(wave).all() or not sample_rate > 0:
        raise UserError(f"A voice to play is of shape {wave.shape}, at {sample_rate} Hz. Give finite samples (T,).")
    buffer = io.BytesIO()
    soundfile.write(buffer, wave / max(np.abs(wave).max(initial=0), 1e-9), sample_rate, format="WAV", subtype="PCM_16")
    name = html.escape(label, quote=True)
    return f"<audio controls aria-label='{name}' style='width:230px' src='{_uri('audio/wav', buffer)}'></audio>"


def _uri(kind: str, buffer: io.BytesIO) -> str:
    return f"data:{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
