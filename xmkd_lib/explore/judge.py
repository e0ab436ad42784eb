"""What the quality estimators say of a pair, and the weight that it would get in training."""

from collections.abc import Sequence
from functools import cached_property

import pandas as pd
import torch
from torch import Tensor

from xmkd_lib import quality, weighting
from xmkd_lib.errors import UserError, unknown_name
from xmkd_lib.explore.corruption import Corruption, Pairs, pairs
from xmkd_lib.features import front_end
from xmkd_lib.models import Network
from xmkd_lib.outputs import Outputs
from xmkd_lib.study import Study
from xmkd_lib.teachers import infer

ESTIMATORS = (
    "image.sharpness", "image.resolution", "speech.energy_snr", "speech.wada_snr",
    "teacher.confidence", "teacher.centre_ratio", "teacher.norm", "pair.cca",
)  # fmt: skip


class Judge:
    """Estimators with their scales: scores become a quality by their rank among the training people's recordings.

    study: of a trained teacher of images and a student of speech. student: a trained student, for `pair.cca`.
    Estimators of inputs are fitted on the training split. Those that ask a network are fitted on held-out recordings
    of the same people, because the networks know the training split by heart; a teacher's reference and the CCA come
    from the training split. mapping and alpha: as in `quality.weights`. UserError on unknown estimators and where the
    data set has no held-out recordings.
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
        for name in self.estimators:
            if name not in quality.names() or name.partition(".")[0] not in ("image", "speech", "teacher", "pair"):
                raise unknown_name("estimator of a face, a voice, a teacher or a pair", name, ESTIMATORS)
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


def in_words(person: str, corruption: Corruption, judged: pd.DataFrame) -> str:
    """One line: what was done to the pair, then score, quality and weight by each estimator.

    >>> judged = pd.DataFrame({"score": [3.25], "quality": [0.125], "weight": [0.5]}, index=["speech.energy_snr"])
    >>> in_words("Ann", Corruption(snr_db=5), judged)
    'Ann, SNR 5 dB, blur 0 pixels, pixel noise 0, own face: speech.energy_snr 3.25 → quality 0.12 → weight 0.50.'
    """
    whose = "another person's" if corruption.other_face else "own"
    done = (
        f"SNR {corruption.snr_db:g} dB, blur {corruption.blur:g} pixels, pixel noise {corruption.pixel_noise:g}, "
        f"{whose} face"
    )
    found = (
        f"{row.Index} {row.score:.2f} → quality {row.quality:.2f} → weight {row.weight:.2f}"
        for row in judged.itertuples()
    )
    return f"{person}, {done}: {'; '.join(found)}."
