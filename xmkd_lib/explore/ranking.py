"""Quality estimators held against corruptions whose true strength is known."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from xmkd_lib import quality, weighting
from xmkd_lib.explore.corruption import Grades, Pairs
from xmkd_lib.explore.judge import Judge
from xmkd_lib.study import Study

WEAK = 0.3  # a rank correlation below this orders next to nothing
TRUE = {"snr_db": "true SNR of the voice (dB)", "blur": "true blur of the face (1/48 of its width)"}


class Ranking(NamedTuple):
    """Scores (n,) by an estimator, against a corruption whose true strength (n,) is known; see `Grades`.

    errors (n,): what goes wrong with each sample, 0 or 1, where that is known.
    """

    estimator: str
    axis: str
    truth: Tensor
    scores: Tensor
    better: int = -1
    errors: Tensor | None = None

    @property
    def spearman(self) -> float:
        """Rank correlation with the true quality: 1 as it should be, 0 blind, -1 the wrong way round."""
        return quality.spearman(self.scores, self.better * self.truth)

    @property
    def verdict(self) -> str:
        """What that says of the estimator: it ranks, is blind (below 0.3 either way), or is reversed."""
        return "blind" if abs(self.spearman) < WEAK else "ranks" if self.spearman > 0 else "reversed"

    @property
    def curve(self) -> quality.RejectCurve:
        """The errors that are left when the samples with the lowest scores are rejected."""
        return quality.error_versus_reject(self.scores, self.errors)


def rank(judge: Judge, estimators: Sequence[str], known: Pairs, grades: Sequence[Grades]) -> list[Ranking]:
    """Every estimator against every corruption of the known pairs.

    Errors are those of the network that reads what is corrupted: the teacher, or the judge's student, names another
    person than the label. Where the corruption is itself the error, as of wrong pairs, that counts.
    """
    found = []
    for grade in grades:
        given = known._replace(**{grade.of: grade.corrupted})
        errors = grade.errors
        if errors is None:
            outputs = judge.teacher(given) if grade.of == "images" else judge.student(given)
            errors = (outputs.logits.argmax(1) != given.labels).float()
        found += [
            Ranking(name, grade.axis, grade.strength, judge.scores(name, given), grade.better, errors)
            for name in estimators
        ]
    return found


def weights_against_truth(study: Study) -> list[Ranking]:
    """Weights of a study's training samples against the true corruption of face and voice, which its table knows.

    For cross-entropy against the voice, and for distillation against the face: the study's own weights, the same given
    to other samples, and those that the truth would give. UserError where the data set does not know its truth.
    """
    chosen, rows = study.experiment, study.dataset.rows("train")
    sides = zip(
        ("ce", "kd"), (study.dataset.student_modality, study.teacher_modality), study.quality_weights(), strict=True
    )
    found = []
    for side, modality, own in sides:
        best = weighting.truth(study.dataset, modality)[rows]
        oracle = quality.weights(quality.fit(best)(best), chosen.quality_mapping, chosen.quality_strength)
        column, better = study.dataset.oracle[modality]
        names = " × ".join(weighting.estimators(study, f"{side}_quality"))
        variants = {names: own.cpu(), "permuted": quality.permuted(own, chosen.seed).cpu(), "oracle": oracle}
        found += [
            Ranking(name, TRUE.get(column, f"true {column} of the {modality}"), better * best, weights, better)
            for name, weights in variants.items()
        ]
    return found
