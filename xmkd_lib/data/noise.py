"""Real background noise: clips of rain, sea waves, engines, a crying baby ..."""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor

from xmkd_lib.data import sources
from xmkd_lib.errors import UserError
from xmkd_lib.modalities import fit_length, read_audio

SECONDS = 5.0  # the length of an ESC clip; a few files differ


class NoiseClips(NamedTuple):
    """Noise as waveforms (k, T) float32 with their table: path, class_name, fold (int)."""

    waveforms: Tensor
    table: pd.DataFrame


def noise_clips(sample_rate: int, folds: Sequence[int] | None = None) -> NoiseClips:
    """The noise clips of some folds (all if None) at `sample_rate` Hz, each 5 seconds long.

    Clips of one source recording share a fold: train with some folds, test with others. UserError when the data are
    missing (with the source), when a fold is empty, or naming a file that cannot be read.
    Source: ESC-10 of Piczak, ACM Multimedia 2015; here its clips of licence CC0.
    """
    folder = sources.find("noise")
    table = sources.read_manifest(folder, {"path": str, "class_name": str, "fold": int}, ["path"])
    known = sorted(table.fold.unique().tolist())
    for fold in folds or ():
        if fold not in known:
            raise UserError(f"{folder / 'manifest.csv'}: no clip of fold {fold!r}. Folds are {known}.")
    if folds is not None:
        table = table[table.fold.isin(folds)].reset_index(drop=True)
    if table.empty:
        raise UserError(f"noise_clips: folds is {folds!r}, so no clip is left. Give some of {known}.")
    samples = round(SECONDS * sample_rate)
    waveforms = [fit_length(read_audio(folder / path, sample_rate), samples) for path in table.path]
    return NoiseClips(torch.stack(waveforms), table)
