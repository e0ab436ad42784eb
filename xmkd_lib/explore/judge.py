"""What the quality estimators say of a pair, and the weight that it would get in training."""

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor

from xmkd_lib import quality, weighting
from xmkd_lib.data import PairedDataset
from xmkd_lib.errors import UserError, unknown_name
from xmkd_lib.explore.corruption import Corruption, Pairs, corrupted, pairs
from xmkd_lib.features import front_end
from xmkd_lib.models import Network
from xmkd_lib.outputs import Outputs
from xmkd_lib.study import Study
from xmkd_lib.teachers import infer

ESTIMATORS = (
    "image.sharpness", "image.resolution", "speech.energy_snr", "speech.wada_snr",
    "teacher.confidence", "teacher.centre_ratio", "teacher.norm", "pair.cca",
)  # fmt: skip

KINDS = ("image.", "speech.", "teacher.", "pair.")


class Judge:
    """Estimators with their scales: scores become a quality by their rank among the training people's recordings.

    study: of a trained teacher of images and a student of speech. student: a trained student, for `pair.cca`.
    Estimators of inputs are fitted on the training split. Those that ask a network are fitted on held-out recordings
    of the same people, because the networks know the training split by heart; a teacher's reference and the CCA come
    from the training split. mapping and alpha: as in `quality.weights`. UserError on estimators that score no pair, on
    other modalities, and where the data set has no held-out recordings.
    """

    def __init__(
        self,
        study: Study,
        student: Network,
        estimators: Sequence[str] = ESTIMATORS,
        mapping: str = "linear",
        alpha: float = 1.0,
    ):
        self.dataset, self.estimators = study.dataset, tuple(estimators)
        self.mapping, self.alpha = mapping, alpha
        known = [name for name in quality.names() if name.startswith(KINDS) and name != "teacher.stability"]
        for name in self.estimators:
            if name not in known:
                raise unknown_name("estimator of a face and a voice", name, known)
        if (study.teacher_modality, self.dataset.student_modality) != ("image", "speech"):
            raise UserError(
                f"The teacher reads {study.teacher_modality} and the student {self.dataset.student_modality}: a judge "
                "needs a teacher of images and a student of speech, such as those of 'people'."
            )
        if not len(self.dataset.rows("heldout")):
            raise UserError(f"Data set {self.dataset.name!r} has no held-out recordings. Set heldout_utterances.")
        self._study, self._student = study, student
        self._read = {kind: front_end(self.dataset, kind, study.device) for kind in ("image", "speech")}

    def teacher(self, given: Pairs) -> Outputs:
        """The teacher's outputs for the faces, on the CPU."""
        features = self._read["image"](given.images.to(self._study.device))
        return infer(self._study.teacher_network, features).map(Tensor.cpu)

    def student(self, given: Pairs) -> Outputs:
        """The student's outputs for the voices, on the CPU."""
        features = self._read["speech"](given.waveforms.to(self._study.device))
        return infer(self._student, features).map(Tensor.cpu)

    def scores(self, name: str, given: Pairs) -> Tensor:
        """An estimator's scores (n,) of pairs, judged by the labels of the voices."""
        kind = name.partition(".")[0]
        if kind in ("image", "speech"):
            estimator = quality.create(name, **weighting.parameters(self.dataset, name, kind))
            return estimator(given.images if kind == "image" else given.waveforms)
        if kind == "teacher":
            return quality.create(name)(self.teacher(given), given.labels, *self._reference)
        return self._cca.cosine(self.student(given).embedding, self.teacher(given).embedding).float()

    @cached_property
    def population(self) -> dict[str, Tensor]:
        """Scores of the recordings that each estimator's scale is fitted on."""
        known = {split: pairs(self.dataset, self.dataset.rows(split)) for split in ("train", "heldout")}
        return {name: self.scores(name, known[_split(name)]) for name in self.estimators}

    def __call__(self, given: Pairs) -> pd.DataFrame:
        """Score, quality and weight of one pair (n = 1), a row per estimator, were it one of the recordings."""
        rows = {}
        for name, known in self.population.items():
            score, to_quality = self.scores(name, given), quality.fit(known)
            grade = to_quality(score)
            weights = quality.weights(torch.cat([to_quality(known), grade]), self.mapping, self.alpha)
            rows[name] = (float(score), float(grade), float(weights[-1]))
        return pd.DataFrame.from_dict(rows, orient="index", columns=["score", "quality", "weight"])

    @cached_property
    def _reference(self) -> tuple[Outputs, Tensor]:
        """The teacher's outputs for the training split, and its labels."""
        rows = self.dataset.rows("train")
        return self._study.bank.outputs.map(lambda x: x[rows]), self._study.labels[rows]

    @cached_property
    def _cca(self) -> quality.CCA:
        student = self._study.outputs(self._student, ("train",))["train"].embedding.cpu()
        return quality.fit_cca(student, self._reference[0].embedding)


def _split(name: str) -> str:
    return "train" if name.startswith(("image.", "speech.")) else "heldout"


class Comparison(NamedTuple):
    """A pair before and after a corruption: what a judge says of it, its faces (3, H, W), and its voice (T,) after."""

    person: str
    corruption: Corruption
    before: pd.DataFrame
    after: pd.DataFrame
    faces: tuple[Tensor, Tensor]
    voice: Tensor

    def in_words(self, estimators: Sequence[str]) -> str:
        """One line: what was done to the pair, then score, quality and weight by some estimators."""
        done, whose = self.corruption, "another person's" if self.corruption.other_face else "own"
        found = (
            f"{row.Index} {row.score:.2f} → quality {row.quality:.2f} → weight {row.weight:.2f}"
            for row in self.after.loc[list(estimators)].itertuples()
        )
        return (
            f"{self.person}, SNR {done.snr_db:g} dB, blur {done.blur:g} pixels, pixel noise {done.pixel_noise:g}, "
            f"{whose} face: {'; '.join(found)}."
        )


def compare(judge: Judge, people: PairedDataset, row: int, corruption: Corruption) -> Comparison:
    """A row of `people` as it is and after a corruption. people: the judge's data set, or that `without_noise`."""
    before, after = (corrupted(people, row, done) for done in (Corruption(), corruption))
    entry = people.table.iloc[row]
    return Comparison(
        f"{entry.identity}, session {entry.session}",
        corruption,
        judge(before),
        judge(after),
        (before.images[0], after.images[0]),
        after.waveforms[0],
    )
