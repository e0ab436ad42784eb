"""Handwritten and spoken digits, paired by class."""

import gzip
import hashlib
import json
import math
import zlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from xmkd_lib.data import sources
from xmkd_lib.data.base import DATASETS, PairedDataset, check_table
from xmkd_lib.data.parameters import real, whole
from xmkd_lib.errors import UserError, unknown_name
from xmkd_lib.modalities import fit_length, read_audio

DIRECTIONS = {"image_to_speech": ("image", "speech"), "speech_to_image": ("speech", "image")}
PIXELS = 28  # width and height of an MNIST image


@DATASETS.register("digits")
class Digits(PairedDataset):
    """MNIST images (teacher) and the Free Spoken Digit Dataset (student), paired by digit; speakers left out.

    Splits by speaker, who is the identity: the sorted speakers are rotated by `seed`; the first `test_speakers`
    are the test split, the next `val_speakers` validation, the rest training. So with 6 speakers and one test
    speaker, the seeds 0..5 test on six different speakers. Every utterance gets an image of its digit, drawn by
    `seed`: training from the rows that MNIST's manifest marks train, validation and test from disjoint parts of
    the others. No image is in two splits; within a split, one repeats only where images are too few.

    seconds: fixed length of an utterance, the centre of longer ones, shorter ones repeated. image_size: 28, or
    32 (zeros around the image). direction: "image_to_speech", or "speech_to_image" with speech as the teacher.
    utterances: takes per speaker and digit, the first ones; all if None. `table` also has audio and image
    (paths in their folders), image_index (position in the image file) and seconds (of the recording). All files
    are read at once, so that a missing or damaged one is a UserError before any training.
    """

    name = "digits"
    task = "classification"
    shared_input: ClassVar = {"image": "image_index"}

    def __init__(
        self,
        seed: int = 0,
        test_speakers: int = 1,
        val_speakers: int = 1,
        seconds: float = 0.6,
        sample_rate: int = 8000,
        image_size: Literal[28, 32] = 28,
        direction: Literal["image_to_speech", "speech_to_image"] = "image_to_speech",
        utterances: int | None = None,
    ):
        self._params = {name: value for name, value in locals().items() if name != "self"}
        whole("digits", "seed", seed, 0, 2**32 - 1)
        whole("digits", "test_speakers", test_speakers, 1)
        whole("digits", "val_speakers", val_speakers, 1)
        whole("digits", "sample_rate", sample_rate, 1000, 48000)
        whole("digits", "image_size", image_size, PIXELS, 32)
        real("digits", "seconds", seconds, 0.05, 60)
        if utterances is not None:
            whole("digits", "utterances", utterances, 1)
        if not isinstance(direction, str) or direction not in DIRECTIONS:
            raise unknown_name("direction of data set 'digits'", direction, DIRECTIONS)
        if image_size not in (PIXELS, 32):
            raise UserError(f"digits: image_size is {image_size}; MNIST images come as {PIXELS} or 32 pixels.")
        self._samples = round(seconds * sample_rate)
        self.teacher_modality, self.student_modality = DIRECTIONS[direction]
        self.sample_rate, self._image_size = sample_rate, image_size
        self._speech_folder, self._image_folder = sources.find("fsdd"), sources.find("mnist")
        spoken = _spoken(self._speech_folder, utterances)
        drawn = _drawn(self._image_folder)
        spoken["split"] = spoken.identity.map(_speaker_splits(spoken.identity, seed, test_speakers, val_speakers))
        self.table = _pair_by_class(spoken, drawn, seed)
        check_table(self.table, str(self._speech_folder / "manifest.csv"))
        self._speech = torch.stack([self._waveform(path) for path in self.table.audio])
        self._images = self._pixels()

    def inputs(self, modality: str, rows: Sequence[int] | np.ndarray) -> Tensor:
        """Speech (n, seconds * sample_rate) float32, or image (n, 3, H, W) float32 in [0, 1], all channels grey."""
        rows = torch.from_numpy(self.positions(rows))
        if modality == "speech":
            return self._speech[rows]
        if modality == "image":
            margin = (self._image_size - PIXELS) // 2
            return F.pad(self._images[rows].float() / 255, [margin] * 4)[:, None].repeat(1, 3, 1, 1)
        raise unknown_name("modality of data set 'digits'", modality, ("image", "speech"))

    def _waveform(self, path: str) -> Tensor:
        return fit_length(read_audio(self._speech_folder / path, self.sample_rate), self._samples)

    def _pixels(self) -> Tensor:
        """The image of every row, (rows, 28, 28) uint8."""
        pixels = np.empty((len(self.table), PIXELS, PIXELS), dtype=np.uint8)
        for name, row in self.table.groupby("image").indices.items():
            images, wanted = read_idx(self._image_folder / name), self.table.image_index.to_numpy()[row]
            if images.shape[1:] != (PIXELS, PIXELS) or not 0 <= wanted.min() <= wanted.max() < len(images):
                raise UserError(
                    f"{self._image_folder / name}: holds {' x '.join(map(str, images.shape))} values, but the "
                    f"manifest asks for {PIXELS} x {PIXELS} images up to index {wanted.max()}. Restore both files."
                )
            pixels[row] = images[wanted]
        return torch.from_numpy(pixels)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the parameters, the table, and every sample and pixel."""
        digest = hashlib.sha256(json.dumps([self.name, self._params], sort_keys=True).encode())
        digest.update(self.table.to_csv(index=False).encode())
        for content in (self._speech, self._images):
            digest.update(content.numpy().tobytes())
        return digest.hexdigest()


def _spoken(folder: Path, utterances: int | None) -> pd.DataFrame:
    """One row per utterance: id, label, identity, session, audio, seconds."""
    columns = {"path": str, "label": int, "speaker": str, "take": int, "seconds": float}
    table = _digits_only(sources.read_manifest(folder, columns, unique=["path"]), folder)
    table = table.rename(columns={"path": "audio", "speaker": "identity", "take": "session"})
    table["id"] = [f"{row.label}_{row.identity}_{row.session}" for row in table.itertuples()]
    table = table.sort_values(["identity", "label", "session"], ignore_index=True)
    if utterances is None:
        return table
    return table.groupby(["identity", "label"]).head(utterances).reset_index(drop=True)


def _drawn(folder: Path) -> pd.DataFrame:
    """One row per image: image, image_index, label, split."""
    columns = {"path": str, "index": int, "label": int, "split": str}
    table = _digits_only(sources.read_manifest(folder, columns, unique=["path", "index"]), folder)
    return table.rename(columns={"path": "image", "index": "image_index"})


def _digits_only(table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    strange = table.label[~table.label.between(0, 9)]
    if len(strange):
        raise UserError(f"{folder / 'manifest.csv'}: label {strange.iloc[0]} is no digit. Correct the manifest.")
    return table


def _speaker_splits(speakers: pd.Series, seed: int, test: int, val: int) -> dict[str, str]:
    names = sorted(speakers.unique())
    if test < 1 or val < 1 or test + val >= len(names):
        raise UserError(
            f"digits: {test} test and {val} validation speakers of {len(names)}; each split needs at least one."
        )
    turn = seed % len(names)
    splits = ["test"] * test + ["val"] * val + ["train"] * (len(names) - test - val)
    return dict(zip(names[turn:] + names[:turn], splits, strict=True))


def _pair_by_class(spoken: pd.DataFrame, drawn: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Give every utterance an image of its digit: shuffled, dealt in order, from the start again when used up."""
    chosen = np.empty(len(spoken), dtype=np.int64)
    for label, rows in spoken.groupby("label").indices.items():
        generator = np.random.default_rng([seed, label])
        split = spoken.split.to_numpy()[rows]
        in_class, for_training = (drawn.label == label).to_numpy(), (drawn.split == "train").to_numpy()
        training = generator.permutation(np.flatnonzero(in_class & for_training))
        others = generator.permutation(np.flatnonzero(in_class & ~for_training))
        val, test = (split == "val").sum(), (split == "test").sum()
        cut = round(len(others) * val / max(val + test, 1))
        for name, pool in (("train", training), ("val", others[:cut]), ("test", others[cut:])):
            wanted = split == name
            if wanted.any() and not len(pool):
                raise UserError(
                    f"digits: mnist/manifest.csv has no image of digit {label} for the {name} split. Add some."
                )
            chosen[rows[wanted]] = np.resize(pool, wanted.sum())
    images = drawn[["image", "image_index"]].iloc[chosen].reset_index(drop=True)
    columns = ["id", "label", "split", "identity", "session", "audio", "image", "image_index", "seconds"]
    return pd.concat([spoken, images], axis=1)[columns]


def read_idx(path: Path) -> np.ndarray:
    """Read a gzip-compressed idx file of bytes, the format of MNIST: an image file gives (n, height, width) uint8.

    UserError names a file that is missing, no gzip or idx file, truncated, or longer than its header says.
    Source: the format's description on the MNIST page (two zero bytes, type 8, number of axes, their lengths).
    """
    if not path.is_file():
        raise UserError(f"{path}: there is no such file. Restore it, or fetch the data set again.")
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: no gzip file, or a truncated one ({error}). Fetch it again.") from None
    axes = content[3] if content[:3] == b"\x00\x00\x08" and len(content) > 3 else 0
    header = 4 + 4 * axes
    if not axes or len(content) < header:
        raise UserError(f"{path}: no idx file of bytes (it starts with {content[:4].hex()!r}). Fetch it again.")
    shape = tuple(np.frombuffer(content[4:header], dtype=">u4").tolist())
    if len(content) - header != math.prod(shape):
        raise UserError(
            f"{path}: announces {' x '.join(map(str, shape))} values, but holds {len(content) - header}. "
            "Fetch it again."
        )
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape)
