"""The teacher's space and the students' side by side: what one sample is near to in each."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from xmkd_lib.data import SPLITS, PairedDataset
from xmkd_lib.errors import UserError, unknown_name
from xmkd_lib.evaluation import trial_scores
from xmkd_lib.explore.diagnosis import Diagnosis, diagnose
from xmkd_lib.explore.projection import Projection, project
from xmkd_lib.outputs import Outputs
from xmkd_lib.study import Study

TEACHER = "teacher"
NAMED = 4  # classes that a picture tells apart: more cannot be told apart by marker and colour


class View(NamedTuple):
    """One choice, linked in two spaces.

    panels: title -> projection of the same N samples. names, training: (N,) class of each sample, and whether it is of
    the training split. named: the classes to tell apart, the chosen sample's first. chosen: its place in 0..N-1.
    captions: row of the data set's table -> what it is, of the chosen sample and the nearest of another class in each
    space. text: the same in a sentence.
    """

    panels: dict[str, Projection]
    names: np.ndarray
    training: np.ndarray
    named: list[str]
    chosen: int
    captions: dict[int, str]
    text: str

    def caption(self, entry: pd.Series) -> str:
        """What a row of the data set's table is."""
        return self.captions[entry.name]


class Spaces:
    """Embeddings of every row of a study's table, by the teacher and by students.

    students: name -> outputs per split, as `Study.outputs` gives them. The teacher's outputs are those of each row's
    own teacher input. A class is an identity in verification, else a label. most: samples in a picture; a split that
    is larger than half of it is thinned evenly.
    """

    def __init__(self, study: Study, students: Mapping[str, Mapping[str, Outputs]], most: int = 1000):
        if not isinstance(most, int) or most < 2:
            raise UserError(f"A picture of {most!r} samples. Give a whole number from 2.")
        if TEACHER in students:
            raise UserError(f"A student is called {TEACHER!r}, as the teacher's space is. Give it another name.")
        self.dataset, self.most = study.dataset, most
        self.splits = [split for split in SPLITS if len(self.dataset.rows(split))]
        self.names = class_names(self.dataset)
        self._modality = dict.fromkeys(students, self.dataset.student_modality) | {TEACHER: study.teacher_modality}
        self._embeddings = {TEACHER: study.bank.outputs.embedding.cpu().double().numpy()}
        self._embeddings |= {name: by_row(self.dataset, outputs) for name, outputs in students.items()}

    @property
    def most_classes(self) -> int:
        """Number of classes in the split that has most."""
        return max(len(set(self.names[self._rows(split)])) for split in self.splits)

    @property
    def most_samples(self) -> int:
        """Number of samples of the class that has most in a split."""
        return int(self.dataset.table.groupby("split").label.value_counts().max())

    def embeddings(self, space: str, split: str) -> np.ndarray:
        """Embeddings (n, D) float64 of a split's rows in a space. UserError on an unknown name."""
        return self._known(space)[self._rows(split)]

    def trials(self, space: str, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Scores and targets of all pairs of different inputs of a split, as `Study.assess` scores them."""
        vectors, rows = self._known(space), self._rows(split)
        rows = rows[self.dataset.distinct(split, self._modality[space])]
        return trial_scores(vectors[rows], self.names[rows], vectors[self._rows("train")].mean(0))

    def view(self, student: str, projection: str, split: str, number: int = 0, sample: int = 0) -> View:
        """Teacher and student, with one sample of a split chosen and its nearest sample of another class in each.

        projection: "pca" or "umap", of unit vectors of the training split and of `split`. number, sample: of the class
        within the split and of the sample within the class, both counted from 0 and, past the last, from 0 again.
        UserError on unknown names and on a split of one class.
        """
        rows = np.concatenate([self._shown(part) for part in dict.fromkeys(("train", split))])
        candidates = self._shown(split)
        row = _pick(self.names[candidates], candidates, number, sample)
        panels, captions, told = {}, {row: f"chosen: {self._title(row)}"}, []
        for space in (TEACHER, student):
            title = f"{space} ({self._modality.get(space)})"
            panels[title] = project(_unit(self._known(space)[rows]), projection)
            other, cosine = self._nearest_other(space, candidates, row)
            before = captions.get(other, self._title(other))
            captions[other] = f"{before}; nearest in {space}, cosine {cosine:.2f}"
            told.append(f"{self._title(other)} in {space} (cosine {cosine:.2f})")
        named = list(dict.fromkeys([*self.names[list(captions)], *self.names[candidates]]))[:NAMED]
        text = f"Nearest to {self._title(row)} among the others of {split}: {' and '.join(told)}."
        training = self.dataset.table.split.to_numpy()[rows] == "train"
        chosen = int(np.flatnonzero(rows == row)[0])
        return View(panels, self.names[rows], training, named, chosen, captions, text)

    def neighbours(self, split: str, number: int = 0, sample: int = 0) -> pd.DataFrame:
        """A row per space: the nearest sample of the same class and of another to one sample of a split, by cosine.

        number, sample: as in `view`. `own` is nan where the class has no second sample there.
        """
        rows = self._shown(split)
        row = _pick(self.names[rows], rows, number, sample)
        found = []
        for space in self._embeddings:
            other, cosine = self._nearest_other(space, rows, row)
            own = self._cosines(space, rows, row)[(self.names[rows] == self.names[row]) & (rows != row)]
            found.append((space, own.max(initial=-np.inf) if len(own) else np.nan, self._title(other), cosine))
        return pd.DataFrame(found, columns=["space", "own", "nearest other", "other"]).set_index("space")

    def diagnose(self, space: str, metrics: Mapping[str, float], split: str = "test") -> Diagnosis:
        """`explore.diagnose` of a split in a space. metrics: of `Study.assess`."""
        return diagnose(space, self.embeddings(space, split), self.names[self._rows(split)], metrics, split)

    def _nearest_other(self, space: str, rows: np.ndarray, row: int) -> tuple[int, float]:
        others = rows[self.names[rows] != self.names[row]]
        if not len(others):
            raise UserError(f"All {len(rows)} samples are of the class {self.names[row]!r}. Choose a split with two.")
        cosines = self._cosines(space, others, row)
        best = int(cosines.argmax())
        return int(others[best]), float(cosines[best])

    def _cosines(self, space: str, rows: np.ndarray, row: int) -> np.ndarray:
        """To one row, after subtracting the training mean: the scores of trials."""
        vectors = self._known(space)
        vectors = _unit(vectors[[row, *rows]] - vectors[self._rows("train")].mean(0))
        return vectors[1:] @ vectors[0]

    def _title(self, row: int) -> str:
        name, sample = self.names[row], self.dataset.table.id.iloc[row]
        return sample if sample.startswith(name) else f"{name} ({sample})"

    def _rows(self, split: str) -> np.ndarray:
        if split not in self.splits:
            raise unknown_name(f"split of data set {self.dataset.name!r}", split, self.splits)
        return self.dataset.rows(split)

    def _shown(self, split: str) -> np.ndarray:
        rows, most = self._rows(split), self.most // 2
        return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(int)]

    def _known(self, space: str) -> np.ndarray:
        if space not in self._embeddings:
            raise unknown_name("space", space, self._embeddings)
        return self._embeddings[space]


def by_row(dataset: PairedDataset, outputs: Mapping[str, Outputs]) -> np.ndarray:
    """Embeddings (rows of the table, D) float64 of outputs per split. UserError where a split is missing."""
    rows = np.concatenate([dataset.rows(split) for split in outputs])
    sizes = {split: len(dataset.rows(split)) for split in outputs}
    for split, found in outputs.items():
        if len(found.embedding) != sizes[split]:
            raise UserError(
                f"Outputs of split {split!r}: {len(found.embedding)} for {sizes[split]} rows. They are of another data "
                "set: give a student of this one."
            )
    if len(rows) != len(dataset):
        held = f"{', '.join(outputs)} hold {len(rows)} of {len(dataset)} rows"
        raise UserError(f"Outputs of the splits {held}. Give those of all splits.")
    parts = np.concatenate([found.embedding.detach().cpu().double().numpy() for found in outputs.values()])
    return parts[np.argsort(rows)]


def class_names(dataset: PairedDataset) -> np.ndarray:
    """For every row the name of what an embedding is to tell apart: an identity in verification, else its class."""
    table = dataset.table
    column = "identity" if dataset.task == "verification" else "class_name" if "class_name" in table else "label"
    return table[column].astype(str).to_numpy(dtype=object)


def _pick(names: np.ndarray, rows: np.ndarray, number: int, sample: int) -> int:
    classes = list(dict.fromkeys(names))
    own = rows[names == classes[number % len(classes)]]
    return int(own[sample % len(own)])


def _unit(vectors: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1)
