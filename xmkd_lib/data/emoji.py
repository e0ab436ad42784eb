"""Emoji: what is written about them, and how three artists drew them."""

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from xmkd_lib.data import sources
from xmkd_lib.data.base import DATASETS, PairedDataset, check_table
from xmkd_lib.data.parameters import bad, whole
from xmkd_lib.errors import UserError, unknown_name
from xmkd_lib.modalities import read_image

DIRECTIONS = {"text_to_image": ("text", "image"), "image_to_text": ("image", "text")}
STYLES = ("emojione2", "noto2018", "notoblob2017")
SHARES = {"test": 0.2, "val": 0.1}  # of the concepts of a class; the rest is training


@DATASETS.register("emoji")
class Emoji(PairedDataset):
    """Names and keywords of emoji (teacher) and drawings of them in three styles (student); concepts left out.

    A row is one drawing with its emoji's text. The label is the emoji's category, such as food or travel. These are
    drawings, not photographs. The text is without the words that name a category, so that a text teacher must know
    what a thing is. The concept, a code point or a sequence of them, is the identity, the style the session. Concepts
    with the same drawing, pixel by pixel, in any of the styles (the flags of the USA and of its outlying islands) count
    as one: the identity is the first of them. Of each class's identities 70 % are training, 10 % validation, 20 % test,
    drawn by `seed`, so that an interval over seeds also covers the choice of concepts. All drawings of an identity are
    in one split, so no image of one is in another.

    image_size: pixels each way; the files have 64. styles: some of emojione2, noto2018, notoblob2017; all if None.
    direction: "text_to_image", or "image_to_text" with the drawing as the teacher. concepts: how many of each class,
    drawn by `seed`, those drawn alike as one; all if None. `table` also has image (path in the folder), name,
    class_name and text. All files are read at once, so that a missing or damaged one is a UserError before training.
    """

    name = "emoji"
    task = "classification"
    shared_input: ClassVar = {"text": "text"}

    def __init__(
        self,
        seed: int = 0,
        image_size: int = 32,
        styles: list[str] | None = None,
        direction: Literal["text_to_image", "image_to_text"] = "text_to_image",
        concepts: int | None = None,
    ):
        self._params = {name: value for name, value in locals().items() if name != "self"}
        whole("emoji", "seed", seed, 0, 2**32 - 1)
        whole("emoji", "image_size", image_size, 8, 512)
        if concepts is not None:
            whole("emoji", "concepts", concepts, 3)
        if not isinstance(direction, str) or direction not in DIRECTIONS:
            raise unknown_name("direction of data set 'emoji'", direction, DIRECTIONS)
        self.teacher_modality, self.student_modality = DIRECTIONS[direction]
        self._folder = sources.find("emoji")
        drawings = self._drawings(_styles(styles))
        images = [read_image(self._folder / path, image_size) for path in drawings.image]
        images = torch.stack([(image * 255).round().byte() for image in images])
        drawings["identity"] = _drawn_alike(drawings.identity, images)
        splits = drawings.identity.map(self._concept_splits(drawings, seed, concepts))
        kept = splits.notna().to_numpy()
        columns = ["id", "label", "split", "identity", "session", "image", "name", "class_name", "text"]
        self.table = drawings.assign(split=splits)[columns][kept].reset_index(drop=True)
        check_table(self.table, str(self._folder / "manifest.csv"))
        self._images = images[torch.tensor(kept)]

    def inputs(self, modality: str, rows: Sequence[int] | np.ndarray) -> Tensor | list[str]:
        """Image (n, 3, image_size, image_size) float32 in [0, 1], or text: n strings."""
        rows = self.positions(rows)
        if modality == "image":
            return self._images[torch.from_numpy(rows)].float() / 255
        if modality == "text":
            return self.table.text.iloc[rows].tolist()
        raise unknown_name("modality of data set 'emoji'", modality, ("image", "text"))

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the parameters, the table with its texts, and every pixel."""
        digest = hashlib.sha256(json.dumps([self.name, self._params], sort_keys=True).encode())
        digest.update(self.table.to_csv(index=False).encode())
        digest.update(self._images.numpy().tobytes())
        return digest.hexdigest()

    def _drawings(self, styles: list[str]) -> pd.DataFrame:
        """One row per drawing in the wanted styles: id, label, identity, session, image, name, class_name, text."""
        columns = {"path": str, "style": str, "codepoint": str, "name": str, "label": int, "class_name": str}
        columns["text_without_label_words"] = str
        table = sources.read_manifest(self._folder, columns, unique=["codepoint", "style"])
        for one, other in (("codepoint", "label"), ("label", "class_name"), ("class_name", "label")):
            values = table.groupby(one)[other].unique()
            values = values[values.str.len() > 1]
            if len(values):
                raise UserError(
                    f"{self._folder / 'manifest.csv'}: {one} {values.index[0]} has more than one {other}: "
                    f"{', '.join(map(str, values.iloc[0]))}. Correct the manifest."
                )
        if sorted(table.label.unique()) != list(range(table.label.nunique())):
            found = ", ".join(map(str, sorted(table.label.unique())))
            raise UserError(
                f"{self._folder / 'manifest.csv'}: labels are {found}. Number the classes from 0 on, without a gap."
            )
        table = table[table["style"].isin(styles)].rename(
            columns={"path": "image", "style": "session", "codepoint": "identity", "text_without_label_words": "text"}
        )
        if table.empty:
            raise UserError(f"{self._folder / 'manifest.csv'}: no rows of style {', '.join(styles)}. Add some.")
        table["id"] = table.identity + "_" + table.session
        return table.sort_values(["identity", "session"], ignore_index=True)

    def _concept_splits(self, drawings: pd.DataFrame, seed: int, limit: int | None) -> dict[str, str]:
        """Split of each identity, class by class; those beyond the limit have none."""
        splits = {}
        for label, members in drawings.groupby("label").identity:
            shuffled = np.random.default_rng([seed, label]).permutation(sorted(members.unique()))[:limit]
            if len(shuffled) < 3:
                raise UserError(
                    f"{self._folder / 'manifest.csv'}: class {label} has {len(shuffled)} concepts in these styles, and "
                    "needs one for each split. Add some, or choose more styles."
                )
            start = 0
            for split, share in SHARES.items():
                end = start + max(1, round(share * len(shuffled)))
                splits |= dict.fromkeys(shuffled[start:end], split)
                start = end
            splits |= dict.fromkeys(shuffled[start:], "train")
        return splits


def _drawn_alike(concepts: pd.Series, images: Tensor) -> list[str]:
    """Of every drawing the first concept that its own is connected with by equal drawings."""
    first = {concept: concept for concept in concepts}

    def root(concept: str) -> str:
        while first[concept] != concept:
            concept = first[concept]
        return concept

    seen: dict[bytes, str] = {}
    for concept, image in zip(concepts, images.numpy(), strict=True):
        one, other = sorted((root(concept), root(seen.setdefault(image.tobytes(), concept))))
        first[other] = one
    return [root(concept) for concept in concepts]


def _styles(styles: list[str] | None) -> list[str]:
    if styles is None:
        return list(STYLES)
    if not isinstance(styles, list) or not styles:
        raise bad("emoji", "styles", styles, f"a list of some of {', '.join(STYLES)}, or None for all")
    for style in styles:
        if style not in STYLES:
            raise unknown_name("style of data set 'emoji'", style, STYLES)
    return styles
