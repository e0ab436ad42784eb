"""Sample weights of a study: which estimators judge a sample, and what the controls put in their place."""

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from xmkd_lib import quality
from xmkd_lib.data import PairedDataset
from xmkd_lib.errors import UserError
from xmkd_lib.outputs import Outputs

if TYPE_CHECKING:
    from xmkd_lib.study import Study

ESTIMATOR = {"image": "image.sharpness", "speech": "speech.energy_snr", "text": "text.in_vocabulary"}
SIDES = ("ce_quality", "kd_quality")


def estimators(study: "Study", setting: str) -> list[str]:
    """Names of the estimators that a setting comes to. Needs the data set alone.

    UserError where one does not fit the data set: another modality, or a column that is missing or not of numbers.
    """
    dataset, modality = study.dataset, _modality(study, setting)
    names = getattr(study.experiment, setting) or [ESTIMATOR[modality]]
    for name in names:
        kind, _, column = name.partition(".")
        if kind in ESTIMATOR and kind != modality:
            raise UserError(
                f"Setting {setting!r} has {name!r}, but there data set {dataset.name!r} has {modality}. "
                f"Give an estimator of {modality}, such as {ESTIMATOR[modality]!r}."
            )
        if kind == "external":
            quality.create("external", column=column)(dataset.table)
    return names


def truth(dataset: PairedDataset, modality: str) -> Tensor:
    """True quality of every row's input (n,), higher is better. UserError where the data set does not know it."""
    if modality not in dataset.oracle:
        raise UserError(
            f"Data set {dataset.name!r} does not know the true quality of its {modality}, so there is no oracle. "
            "Use method 'soft_quality', or the data set 'people'."
        )
    column, sign = dataset.oracle[modality]
    return sign * quality.create("external", column=column)(dataset.table)


def check(study: "Study") -> None:
    """What `quality_weights` would refuse, before a teacher is trained. UserError."""
    for setting in SIDES:
        if study.experiment.quality_variant == "oracle":
            truth(study.dataset, _modality(study, setting))
        else:
            for name in estimators(study, setting):
                _check_teacher(study, name)


def _check_teacher(study: "Study", name: str) -> None:
    chosen = study.experiment
    views = name == "teacher.stability"
    if name.startswith("teacher.") and (chosen.teacher_bank or (views and chosen.teacher == "random_centres")):
        wanted = "augmented views" if views else "out-of-fold outputs"
        raise UserError(
            f"{name!r} needs {wanted} of a teacher that is trained here; this one is "
            f"{chosen.teacher_bank or chosen.teacher!r}. Choose a quality of the inputs, such as 'image.sharpness'."
        )


def quality_weights(study: "Study") -> tuple[Tensor, Tensor]:
    """Weights (n_train,) of mean 1 on the CPU: of cross-entropy, and of distillation.

    Cross-entropy is weighted by the quality of the student's input, distillation by that of the teacher's input, of
    what the teacher makes of it, or of the pair. A score becomes a quality by its rank among the training rows;
    several qualities multiply. Variants to compare with `estimator`: `permuted` gives the same weights to other
    samples, both weights of a sample together; `inverted` takes 1 − quality; `oracle` the true quality.
    """
    w_ce, w_kd = (_weights(study, setting) for setting in SIDES)
    return w_ce, w_kd


def effective_sample_sizes(w_ce: Tensor, w_kd: Tensor) -> dict[str, float]:
    """Share of the training samples that each weighting leaves effective, by the metric's name.

    >>> effective_sample_sizes(torch.ones(4), torch.tensor([2.0, 2.0, 0.0, 0.0]))
    {'effective_sample_size_ce': 1.0, 'effective_sample_size_kd': 0.5}
    """
    return {
        f"effective_sample_size_{side}": quality.effective_sample_size(w) for side, w in (("ce", w_ce), ("kd", w_kd))
    }


def _modality(study: "Study", setting: str) -> str:
    return study.dataset.student_modality if setting == "ce_quality" else study.teacher_modality


def _weights(study: "Study", setting: str) -> Tensor:
    chosen, rows = study.experiment, _rows(study, setting)
    if chosen.quality_variant == "oracle":
        scores = [truth(study.dataset, _modality(study, setting))[rows]]
    else:
        scores = [_scores(study, name, setting) for name in estimators(study, setting)]
    grade = torch.stack([quality.fit(score)(score).cpu() for score in scores]).prod(0)
    if chosen.quality_variant == "inverted":
        grade = quality.inverted(grade)
    weights = quality.weights(grade, chosen.quality_mapping, chosen.quality_strength)
    return quality.permuted(weights, chosen.seed) if chosen.quality_variant == "permuted" else weights


def _rows(study: "Study", setting: str) -> np.ndarray:
    """For every training sample, the row that its student's or its teacher's input comes from."""
    rows = study.dataset.rows("train")
    if setting == "ce_quality":
        return rows
    return study.taught_by[rows]


def _scores(study: "Study", name: str, setting: str) -> Tensor:
    """An estimator's score of every training sample, (n_train,)."""
    dataset, rows = study.dataset, _rows(study, setting)
    kind, _, column = name.partition(".")
    if kind == "external":
        return quality.create("external", column=column)(dataset.table.iloc[rows])
    if kind == "pair":
        # not by identity: its other pairs are what tells that one of them is wrong
        return quality.create(name)(study.reference["train"], study.teacher["train"].embedding.cpu())
    if kind == "teacher":
        taught_by = torch.from_numpy(np.searchsorted(dataset.rows("train"), rows))
        if name == "teacher.stability":
            return quality.create(name)(study.views[taught_by])
        return _out_of_fold(study, name, taught_by)
    modality = _modality(study, setting)
    return quality.create(name, **parameters(dataset, name, modality))(dataset.inputs(modality, rows))


def parameters(dataset: PairedDataset, name: str, modality: str) -> dict[str, Any]:
    """What an estimator of a modality's inputs asks for by the name of a parameter, as `quality.create` takes it."""
    accepted = inspect.signature(quality.ESTIMATORS[name]).parameters
    params = {"sample_rate": dataset.sample_rate} if "sample_rate" in accepted else {}
    return params | ({"texts": dataset.inputs(modality, dataset.rows("train"))} if "texts" in accepted else {})


def _out_of_fold(study: "Study", name: str, taught_by: Tensor) -> Tensor:
    """Scores (n_train,) of the teacher outputs that each sample is given, by the teacher that has not seen them.

    taught_by (n_train,): positions in the training split. A sample is judged by its own label: a teacher that is sure
    of another class is a bad one for it.
    """
    estimator = quality.create(name)
    labels = study.labels[study.dataset.rows("train")]
    scores = torch.full((len(labels),), torch.nan)
    for held_out, outputs in study.folds:
        unseen = torch.zeros(len(labels), dtype=torch.bool)
        unseen[held_out] = True
        judged = unseen[taught_by]
        given = _take(outputs, taught_by[judged])
        scores[judged] = estimator(given, labels[judged], _take(outputs, ~unseen), labels[~unseen])
    return scores


def _take(outputs: Outputs, rows: Tensor) -> Outputs:
    return outputs.map(lambda x: x[rows])
