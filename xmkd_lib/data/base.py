"""The contract of every paired data set, and the checks that none may skip."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd
from torch import Tensor

from xmkd_lib.errors import UserError
from xmkd_lib.registry import Registry

DATASETS = Registry("data set")
SPLITS = ("train", "val", "test", "heldout")
COLUMNS = ("id", "label", "split", "identity", "session")


class Sample(NamedTuple):
    """One paired sample. `inputs` maps a modality's name to its tensor or text, `meta` is the row of the table."""

    id: str
    label: int
    inputs: dict[str, Tensor | str]
    meta: dict[str, Any]


class PairedDataset(ABC):
    """Pairs of a teacher's and a student's input, described by one table.

    `table` has a row per pair with at least id (unique str), label (int), split (train, val, test, heldout),
    identity (who or what must not be in two of train, val and test) and session. Training labels are
    0..num_classes-1. Where identities are the classes, those of val and test get larger labels. `heldout`, where
    there is one, holds other recordings of the training identities.
    """

    name: str
    task: str  # "verification" (open set: EER chooses the epoch) or "classification" (accuracy does)
    teacher_modality: str
    student_modality: str
    sample_rate: int | None = None  # Hz, for speech
    shared_input: ClassVar[dict[str, str]] = {}  # modality -> column: rows with equal values there have the same input
    oracle: ClassVar[dict[str, tuple[str, int]]] = {}  # modality -> column of true quality, +1 or (lower is better) -1
    table: pd.DataFrame

    @property
    def num_classes(self) -> int:
        """Number of classes that the training split has."""
        return int(self.table.loc[self.table.split == "train", "label"].max()) + 1

    def rows(self, split: str) -> np.ndarray:
        """Row positions of a split, in table order."""
        return np.flatnonzero(self.table.split.to_numpy() == split)

    def distinct(self, split: str, modality: str) -> np.ndarray:
        """Positions within a split, one per different input of a modality: no trial is of an input with itself."""
        column = self.shared_input.get(modality)
        rows = self.table.iloc[self.rows(split)]
        return np.arange(len(rows)) if column is None else np.flatnonzero(~rows[column].duplicated().to_numpy())

    @abstractmethod
    def inputs(self, modality: str, rows: Sequence[int] | np.ndarray) -> Tensor | list[str]:
        """Raw inputs of some rows: image (n, 3, H, W) float32 in [0, 1], speech (n, T) float32, text n strings."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """A hash of all that determines the data's content: a cached teacher output is valid for one only."""

    def positions(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Row positions (n,) int64 of what `inputs` takes as rows: positions, or a mask of truth values, one a row.

        UserError on a mask of another length.
        """
        rows = np.asarray(rows)
        if rows.dtype != bool:
            return rows.astype(np.int64)
        if rows.shape != (len(self),):
            raise UserError(f"data set {self.name!r}: mask of shape {rows.shape} for {len(self)} rows. Give one each.")
        return np.flatnonzero(rows)

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, row: int) -> Sample:
        meta = self.table.iloc[row].to_dict()
        modalities = (self.teacher_modality, self.student_modality)
        return Sample(meta["id"], int(meta["label"]), {m: self.inputs(m, [row])[0] for m in modalities}, meta)


def check_table(table: pd.DataFrame, source: str) -> None:
    """Refuse a table that would make results untrue: missing columns, double ids, an identity in two splits.

    `source` names the file or generator in the message. UserError names the offending values.
    """
    missing = [column for column in COLUMNS if column not in table]
    if missing:
        raise UserError(f"{source}: column {', '.join(missing)} is missing. Needed: {', '.join(COLUMNS)}.")
    if table.empty:
        raise UserError(f"{source}: no rows. Every data set needs at least the splits train, val and test.")
    twice = table.id[table.id.duplicated()].unique()
    if len(twice):
        raise UserError(f"{source}: {len(twice)} ids occur twice, first {twice[0]!r}. Make every id unique.")
    strange = sorted(set(table.split) - set(SPLITS))
    if strange:
        raise UserError(f"{source}: unknown split {strange[0]!r}. Known: {', '.join(SPLITS)}.")
    apart = table[table.split.isin(("train", "val", "test"))]
    shared = apart.groupby("identity").split.nunique()
    shared = shared[shared > 1].index
    if len(shared):
        where = ", ".join(sorted(apart.split[apart.identity == shared[0]].unique()))
        raise UserError(
            f"{source}: {len(shared)} identities are in more than one split, first {shared[0]!r} (in {where}). "
            "A test on identities seen in training measures memory: move each to one split."
        )
    absent = [split for split in ("train", "val", "test") if split not in set(table.split)]
    if absent:
        raise UserError(f"{source}: split {', '.join(absent)} has no rows.")
