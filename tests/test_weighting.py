"""Which estimators weight a study, and the controls; on a made-up study with fold teachers of known outputs."""

from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch

from xmkd_lib import Experiment, Outputs, methods, quality, weighting
from xmkd_lib.data.pairing import pair
from xmkd_lib.errors import UserError
from xmkd_lib.quality.registry import ESTIMATORS

N, CLASSES = 24, 4  # training rows, after two of validation


class Fold(NamedTuple):
    held_out: torch.Tensor
    outputs: Outputs


def rand(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Images:
    """Images teach texts; the training rows are not the first ones."""

    name, teacher_modality, student_modality, sample_rate = "made_up", "image", "text", None
    oracle = {"text": ("truth", 1), "image": ("dirt", -1)}  # noqa: RUF012

    def __init__(self):
        count = N + 2
        self.table = pd.DataFrame(
            {
                "id": [f"r{row}" for row in range(count)],
                "label": [0, 1, *np.arange(N) % CLASSES],
                "split": ["val"] * 2 + ["train"] * N,
                "identity": [f"who{row // 2}" for row in range(count)],
                "truth": np.random.default_rng(0).random(count),
                "dirt": np.random.default_rng(1).random(count),
                "word": ["one"] * count,
            }
        )

    def rows(self, split):
        return np.flatnonzero(self.table.split == split)

    def inputs(self, modality, rows):
        if modality == "text":
            return [" ".join(["word"] * (row + 1)) for row in np.asarray(rows)]
        return torch.stack([row / 100 * rand(3, 16, 16, seed=1).abs() for row in np.asarray(rows)])


def study(**settings):
    """A study whose fold teachers' outputs tell their fold and row."""
    fixed = {"method": "soft_quality", "quality_strength": 1.0, "ce_quality": ["text.length"]}
    experiment = Experiment(**{**fixed, **settings})
    dataset = Images()
    folds = []
    for number in range(3):
        outputs = Outputs(rand(N, 8, seed=number), 3 * rand(N, CLASSES, seed=10 + number))
        folds.append(Fold(torch.arange(number, N, 3), outputs))
    shared = rand(N, 4, seed=5)
    return SimpleNamespace(
        experiment=experiment,
        dataset=dataset,
        teacher_modality=dataset.teacher_modality,
        taught_by=pair(dataset.table, experiment.pairing, experiment.seed),
        labels=torch.tensor(dataset.table.label.tolist()),
        folds=folds,
        views=rand(N, 5, 8, seed=6),
        reference={"train": shared},
        teacher={"train": Outputs(shared @ rand(4, 4, seed=7))},
    )


def weights_of(scores):
    """The linear map at full strength, by hand: rank qualities over their mean."""
    scores = np.asarray(scores, dtype=float)
    q = ((scores[:, None] > scores).sum(1) + 0.5 * (scores[:, None] == scores).sum(1)) / len(scores)
    return q / q.mean()


def taught_by(found):
    """Positions in the training split."""
    return weighting._rows(found, "kd_quality") - 2


@pytest.mark.parametrize("pairing", ["true", "shuffled"])
def test_teacher_scores_come_from_the_fold_that_has_not_seen_the_row(pairing):
    found = study(kd_quality=["teacher.confidence"], pairing=pairing)
    expected = []
    for sample, row in enumerate(taught_by(found)):
        logits = found.folds[row % 3].outputs.logits[row].double()
        expected.append(float(logits.softmax(0)[found.labels[sample + 2]]))
    np.testing.assert_allclose(weighting.quality_weights(found)[1], weights_of(expected), rtol=1e-5)


@pytest.mark.parametrize("pairing", ["true", "shuffled"])
def test_centres_come_from_the_rows_that_the_fold_teacher_was_trained_on(pairing):
    found = study(kd_quality=["teacher.centre_ratio"], pairing=pairing)
    expected = []
    for sample, row in enumerate(taught_by(found)):
        z = torch.nn.functional.normalize(found.folds[row % 3].outputs.embedding.double(), dim=1)
        trained = [other for other in range(N) if other % 3 != row % 3]
        centres = [sum(z[other] for other in trained if other % CLASSES == c) for c in range(CLASSES)]
        cosine = torch.stack([z[row] @ c / c.norm() for c in centres])
        own = int(found.labels[sample + 2])
        others = [float(cosine[c]) for c in range(CLASSES) if c != own]
        expected.append(float(cosine[own]) / (1 + max(others) + 1e-6))
    np.testing.assert_allclose(weighting.quality_weights(found)[1], weights_of(expected), rtol=1e-5)


def test_a_row_without_a_fold_is_not_weighted_silently():
    found = study(kd_quality=["teacher.confidence"])
    found.folds = found.folds[:2]
    with pytest.raises(UserError, match="8 of 24 training scores are NaN"):
        weighting.quality_weights(found)


@pytest.mark.parametrize("pairing", ["true", "shuffled"])
def test_stability_images_and_columns_follow_the_pairing(pairing):
    for name, score in (
        ("teacher.stability", lambda f, row: quality.create("teacher.stability")(f.views)[row]),
        ("image.contrast", lambda f, row: row),
        ("external.truth", lambda f, row: f.dataset.table.truth[row + 2]),
    ):
        found = study(kd_quality=[name], pairing=pairing)
        expected = weights_of([float(score(found, row)) for row in taught_by(found)])
        np.testing.assert_allclose(weighting.quality_weights(found)[1], expected, rtol=1e-5)


def test_cca_judges_the_pairs_as_they_are():
    found = study(kd_quality=["pair.cca"])
    found.teacher["train"].embedding[3] *= -1
    w = weighting.quality_weights(found)[1]
    assert w.argmin() == 3


def test_qualities_multiply():
    found = study(ce_quality=["text.length", "external.truth"])
    one, other = (weights_of(scores) for scores in (range(N), found.dataset.table.truth[2:]))
    np.testing.assert_allclose(weighting.quality_weights(found)[0], one * other / (one * other).mean(), rtol=1e-5)


def test_the_vocabulary_is_of_training_texts(monkeypatch):
    seen = []

    @ESTIMATORS.register("text.spy")
    def spy(texts):
        seen.extend(texts)
        return lambda batch: torch.arange(float(len(batch)))

    try:
        found = study(ce_quality=["text.spy"])
        np.testing.assert_allclose(weighting.quality_weights(found)[0], weights_of(range(N)), rtol=1e-5)
    finally:
        del ESTIMATORS["text.spy"]
    assert seen == found.dataset.inputs("text", range(2, N + 2))


def test_permuted_weights_are_the_same_ones_and_stay_together():
    plain, permuted, again, other = (
        torch.stack(weighting.quality_weights(study(method=method, seed=seed)))
        for method, seed in (("soft_quality", 0), ("soft_permuted", 0), ("soft_permuted", 0), ("soft_permuted", 1))
    )
    assert not torch.equal(plain, permuted)
    assert sorted(map(tuple, plain.T.tolist())) == sorted(map(tuple, permuted.T.tolist()))
    assert torch.equal(permuted, again)
    assert not torch.equal(permuted, other)


def test_inverted_weights_turn_the_order_around():
    plain, inverted = (weighting.quality_weights(study(method=v)) for v in ("soft_quality", "soft_inverted"))
    for good, bad in zip(plain, inverted, strict=True):
        torch.testing.assert_close(good + bad, torch.full((N,), 2.0))


def test_the_oracle_knows_the_truth_and_its_sign():
    found = study(method="soft_oracle", pairing="shuffled")
    table = found.dataset.table
    w_ce, w_kd = weighting.quality_weights(found)
    np.testing.assert_allclose(w_ce, weights_of(table.truth[2:]), rtol=1e-5)
    np.testing.assert_allclose(w_kd, weights_of(-table.dirt.to_numpy()[taught_by(found) + 2]), rtol=1e-5)


def test_strength_nought_is_no_weights():
    for method in methods.QUALITY:
        for w in weighting.quality_weights(study(method=method, quality_strength=0.0)):
            assert torch.equal(w, torch.ones(N))


def test_an_estimator_of_a_notebook_scores_the_sides_own_input():
    @ESTIMATORS.register("brightness")
    def brightness():
        return lambda images: images.mean((1, 2, 3))

    try:
        found = study(kd_quality=["brightness"])
        np.testing.assert_allclose(weighting.quality_weights(found)[1], weights_of(range(N)), rtol=1e-5)
    finally:
        del ESTIMATORS["brightness"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ce_quality": ["image.contrast"]}, ["'ce_quality'", "'image.contrast'", "text", "'text.in_vocabulary'"]),
        ({"kd_quality": ["text.length"]}, ["'kd_quality'", "'text.length'", "'image.sharpness'"]),
        ({"kd_quality": ["external.dirth"]}, ["'dirth'", "Did you mean 'dirt'"]),
        ({"ce_quality": ["external.word"]}, ["'word'", "row 0", "'r0'", "'one'"]),
    ],
)
def test_estimators_that_do_not_fit_the_data_are_refused_before_a_teacher_is_trained(settings, words):
    found = study(**settings)
    del found.folds, found.teacher, found.reference, found.views
    with pytest.raises(UserError) as error:
        weighting.check(found)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_no_oracle_without_a_truth():
    found = study(method="soft_oracle")
    found.dataset.oracle = {"text": ("truth", 1)}
    with pytest.raises(UserError, match="true quality of its image"):
        weighting.check(found)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ce_quality": ["speech.energy_snt"]}, ["'ce_quality'", "Did you mean 'speech.energy_snr'"]),
        ({"kd_quality": ["teacher.confidnce"]}, ["'kd_quality'", "Did you mean 'teacher.confidence'"]),
        ({"kd_quality": ["external"]}, ["'external'", "external.COLUMN"]),
        ({"ce_quality": ["pair.cca"]}, ["'pair.cca'", "kd_quality"]),
        ({"ce_quality": ["teacher.norm"]}, ["'teacher.norm'", "kd_quality"]),
        ({"method": "soft_inverse"}, ["'soft_inverse'", "'soft_inverted'"]),
        ({"kd_quality": "pair.cca"}, ["'kd_quality'", "list"]),
    ],
)
def test_wrong_settings_are_refused_at_once(settings, words):
    with pytest.raises(UserError) as error:
        Experiment(**settings)
    assert all(word in str(error.value) for word in words), str(error.value)
