"""Estimators of the teacher's side and of pairs: plain formulas, signs, edges."""

import numpy as np
import pandas as pd
import pytest
import torch

from xmkd_lib import Experiment, Outputs, Study, quality
from xmkd_lib.errors import UserError

N, C, D = 30, 4, 6


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


LABELS = torch.arange(N) % C
CENTRES = 2 * normal(C, D)
REFERENCE = Outputs(CENTRES[LABELS] + 0.3 * normal(N, D, seed=1))


def outputs(spread=1.0, seed=2):
    """Rows around their class's centre, and cosines to the centres as logits."""
    z = CENTRES[LABELS] + spread * normal(N, D, seed=seed)
    return Outputs(z, 16 * torch.nn.functional.cosine_similarity(z[:, None], CENTRES, dim=2))


def with_nan(rows):
    rows[4, 1] = torch.nan
    return rows


def score(name, given=None, labels=LABELS):
    return quality.create(name)(given or outputs(), labels, REFERENCE, LABELS)


def test_logit_scores_equal_plain_formulas():
    given = outputs()
    for i in range(N):
        logits, y = given.logits[i].double().numpy(), int(LABELS[i])
        p = np.exp(logits) / np.exp(logits).sum()
        assert score("teacher.confidence")[i].item() == pytest.approx(p[y], abs=1e-6)
        assert score("teacher.neg_entropy")[i].item() == pytest.approx((p * np.log(p)).sum(), abs=1e-5)
        margin = logits[y] - np.delete(logits, y).max()
        assert score("teacher.logit_margin")[i].item() == pytest.approx(margin, abs=1e-4)


def test_embedding_scores_equal_plain_formulas():
    given = outputs()
    ref = REFERENCE.embedding.double().numpy()
    directions = ref / np.linalg.norm(ref, axis=1, keepdims=True)
    centres = np.stack([directions[c == LABELS].mean(0) for c in range(C)])
    norms = np.linalg.norm(ref, axis=1)
    for i in range(N):
        z, y = given.embedding[i].double().numpy(), int(LABELS[i])
        cosine = centres @ z / np.linalg.norm(z) / np.linalg.norm(centres, axis=1)
        ratio = cosine[y] / (1 + np.delete(cosine, y).max() + 1e-6)
        assert score("teacher.centre_ratio")[i].item() == pytest.approx(ratio, rel=1e-4, abs=1e-5)
        expected = (np.linalg.norm(z) - norms.mean()) / norms.std()
        assert score("teacher.norm")[i].item() == pytest.approx(expected, abs=1e-4)


def test_stability_is_minus_the_variance_of_directions():
    views = normal(N, 5, D)
    directions = views / views.norm(dim=-1, keepdim=True)
    variance = (directions - directions.mean(1, keepdim=True)).square().sum(-1).mean(1)
    torch.testing.assert_close(quality.create("teacher.stability")(views), -variance)


@pytest.mark.parametrize("name", ["teacher.confidence", "teacher.logit_margin", "teacher.centre_ratio"])
def test_a_wrong_label_and_a_noisy_row_score_low(name):
    assert score(name).mean() > score(name, labels=(LABELS + 1) % C).mean()
    assert score(name, outputs(0.2)).mean() > score(name, outputs(3.0)).mean()


def test_entropy_is_blind_to_labels():
    assert torch.equal(score("teacher.neg_entropy"), score("teacher.neg_entropy", labels=(LABELS + 1) % C))


@pytest.fixture(scope="module")
def faces():
    """A small teacher of faces: outputs of recordings it has not seen, of those it has, and both labels."""
    sizes = {"identities": 12, "utterances": 6, "heldout_utterances": 12, "blur": [0, 3]}
    study = Study(Experiment.preset("smoke", teacher_epochs=12, seed=2, device="cpu", dataset_params=sizes))
    train, held_out = (torch.from_numpy(study.dataset.rows(split)) for split in ("train", "heldout"))
    seen, unseen = (Outputs(*(x[rows] for x in study.bank.outputs)) for rows in (train, held_out))
    return unseen, study.labels[held_out], seen, study.labels[train]


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("teacher.confidence", 0.7, 1),
        ("teacher.logit_margin", 0.7, 1),
        ("teacher.centre_ratio", 0.7, 1),
        ("teacher.neg_entropy", -0.35, 0.35),  # blind: does not know the label
        ("teacher.norm", -0.35, 0.35),
    ],
)
def test_wrong_pairs_of_faces_are_seen_by_those_that_know_the_label(faces, name, least, most):
    unseen, labels, *reference = faces
    wrong = torch.rand(len(labels), generator=torch.Generator().manual_seed(0)) < 0.3
    given = torch.where(wrong, (labels + 5) % 12, labels)
    gain = quality.error_versus_reject(quality.create(name)(unseen, given, *reference), wrong.float()).gain
    assert least < gain <= most


@pytest.mark.parametrize(("name", "least"), [("teacher.neg_entropy", 0.4), ("teacher.norm", 0.1)])
def test_the_teachers_errors_are_foretold_without_the_label(faces, name, least):
    unseen, labels, *reference = faces
    errors = (unseen.logits.argmax(1) != labels).float()
    assert 0.1 < errors.mean() < 0.9
    assert quality.error_versus_reject(quality.create(name)(unseen, labels, *reference), errors).gain > least


@pytest.mark.parametrize("name", [n for n in quality.names() if n.startswith("teacher.") and "stab" not in n])
def test_extreme_outputs_stay_finite(name):
    zero = Outputs(torch.zeros(N, D), torch.zeros(N, C))
    huge = Outputs(1e4 * normal(N, D), 1e4 * normal(N, C))
    half = Outputs(*(x.half() for x in outputs()))
    for given in (zero, huge, half):
        assert score(name, given).isfinite().all()
        assert score(name, given).shape == (N,)
    for reference in (Outputs(torch.zeros(N, D)), Outputs(torch.ones(N, D))):
        assert quality.create(name)(huge, LABELS, reference, LABELS).isfinite().all()


def test_stability_of_zero_and_of_equal_views():
    stability = quality.create("teacher.stability")
    torch.testing.assert_close(stability(torch.ones(2, 3, D)), torch.zeros(2))
    assert torch.equal(stability(torch.zeros(2, 3, D)), torch.full((2,), -1.0))
    equal = normal(500, 1, D).expand(-1, 3, -1)
    assert stability(equal).max() <= 0, "rounding must not lead above 0"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: score("teacher.confidence", Outputs(normal(N, D))), ["teacher.confidence", "no logits"]),
        (lambda: score("teacher.logit_margin", labels=LABELS + 1), ["labels up to 4", "4 classes"]),
        (lambda: score("teacher.confidence", labels=LABELS[:3]), ["3 labels", "30 rows"]),
        (lambda: score("teacher.centre_ratio", labels=LABELS + 1), ["class 4"]),
        (lambda: quality.create("teacher.norm")(outputs(), LABELS), ["teacher.norm", "reference"]),
        (lambda: quality.create("teacher.centre_ratio")(outputs(), LABELS), ["teacher.centre_ratio", "reference"]),
        (lambda: quality.create("teacher.centre_ratio")(outputs(), LABELS, REFERENCE), ["no labels for 30"]),
        (
            lambda: quality.create("teacher.centre_ratio")(outputs(), 0 * LABELS, REFERENCE, 0 * LABELS),
            ["one class only"],
        ),
        (lambda: quality.create("teacher.stability")(normal(N, 1, D)), ["(30, 1, 6)", "two"]),
        (lambda: quality.create("pair.cca")(normal(5, 2), normal(6, 2)), ["5 students", "6 teachers"]),
        (lambda: quality.create("pair.cca")(normal(4, 2), normal(4, 2)), ["4 pairs", "5 folds"]),
        (lambda: quality.create("pair.cca", ridge=0.0), ["ridge is 0.0"]),
        (lambda: quality.create("pair.cca", ridge="0.1"), ["ridge is '0.1'"]),
        (lambda: quality.create("pair.cca", folds="5"), ["folds '5'"]),
        (lambda: quality.create("pair.cca", folds=2.5), ["folds 2.5"]),
        (lambda: quality.create("pair.cca", seed="one"), ["seed is 'one'"]),
        (lambda: quality.create("pair.cca")(with_nan(normal(9, 2)), normal(9, 2)), ["pair.cca: 1 of 9", "sample 4"]),
        (lambda: quality.create("pair.cca")(normal(9, 2), with_nan(normal(9, 2))), ["pair.cca: 1 of 9", "sample 4"]),
        (lambda: quality.create("pair.cca")(normal(9, 2).numpy(), normal(9, 2)), ["pair.cca: got ndarray"]),
        (lambda: quality.fit_cca(with_nan(normal(9, 2)), normal(9, 2)), ["CCA: 1 of 9", "sample 4"]),
        (lambda: score("teacher.confidence", labels=LABELS[:0]), ["teacher.confidence", "0 labels for 30 rows"]),
        (lambda: score("teacher.confidence", labels=LABELS.tolist()), ["teacher.confidence: got list"]),
        (lambda: score("teacher.centre_ratio", labels=LABELS.numpy()), ["teacher.centre_ratio: got ndarray"]),
        (lambda: score("teacher.norm", Outputs(normal(N, D).numpy())), ["teacher.norm: got ndarray"]),
        (lambda: quality.create("teacher.stability")(normal(N, 3, D).numpy()), ["teacher.stability: got ndarray"]),
        (lambda: quality.fit_cca(normal(5, 2), normal(6, 2)), ["CCA of 5 rows with 6"]),
        (lambda: quality.create("external", column="b")(pd.DataFrame({"a": [1.0]})), ["'b'", "Known: a"]),
        (
            lambda: quality.create("external", column="q")(pd.DataFrame({"id": ["x", "y"], "q": [1, np.nan]})),
            ["'q'", "row 1", "'y'", "nan"],
        ),
        (lambda: quality.create("external", column="q")(pd.DataFrame({"q": [1, "good"]})), ["row 1", "'good'"]),
        (lambda: quality.create("external", column="q")(pd.DataFrame({"q": ["1", "2"]})), ["row 0", "'1'"]),
        (lambda: quality.create("external", column="q")(pd.DataFrame({"q": [None, 1]}, dtype=object)), ["None"]),
    ],
)
def test_wrong_input_is_named(call, words):
    with pytest.raises(UserError) as error:
        call()
    assert all(word in str(error.value) for word in words), str(error.value)


def test_external_takes_numbers_of_any_kind():
    table = pd.DataFrame({"q": [1, 2.5, np.float32(3), True]}, index=[7, 7, 8, 9], dtype=object)
    assert quality.create("external", column="q")(table).tolist() == [1, 2.5, 3, 1]


def pairs(n=200, noise=0.5):
    shared = normal(n, 3)
    student = torch.cat([shared @ normal(3, 3, seed=1), normal(n, 2, seed=2)], 1) + noise * normal(n, 5, seed=3)
    return student, torch.cat([shared @ normal(3, 3, seed=4), normal(n, 1, seed=5)], 1) + noise * normal(n, 4, seed=6)


def test_cca_without_ridge_equals_correlations_of_its_own_projections():
    x, y = pairs()
    found = quality.fit_cca(x, y, ridge=1e-10)
    left = (x.double() - found.mean_x) @ found.weight_x
    right = (y.double() - found.mean_y) @ found.weight_y
    k = len(found.correlation)
    torch.testing.assert_close(left.T @ left / len(x), torch.eye(k, dtype=torch.float64), atol=1e-6, rtol=0)
    torch.testing.assert_close(left.T @ right / len(x), torch.diag(found.correlation), atol=1e-6, rtol=0)
    inverse = [np.linalg.inv(np.cov(z.double().numpy().T, bias=True)) for z in (x, y)]
    cross = np.cov(torch.cat([x, y], 1).double().numpy().T, bias=True)[:5, 5:]
    eigenvalues = np.sort(np.linalg.eigvals(inverse[0] @ cross @ inverse[1] @ cross.T).real)[::-1][:k]
    np.testing.assert_allclose(found.correlation.square(), eigenvalues, atol=1e-6)


def test_cca_finds_mispaired_samples():
    student, teacher = pairs()
    wrong = torch.arange(len(teacher)) < 60
    teacher[:60] = teacher[:60].roll(1, 0)
    assert quality.error_versus_reject(quality.create("pair.cca")(student, teacher), wrong.float()).gain > 0.6


def test_cca_judges_no_pair_by_itself_or_its_group():
    student, teacher = pairs()
    groups = torch.arange(200) // 8
    plain = quality.create("pair.cca")(student, teacher, groups)
    changed = teacher.clone()
    changed[groups == 3] += 100 * normal(8, 4, seed=9)
    again = quality.create("pair.cca")(student, changed, groups)
    fold = quality.create("pair.cca")._folds(groups)
    assert all(len(set(fold[groups == g].tolist())) == 1 for g in groups.unique())
    same_fold = (fold == fold[groups == 3][0]) & (groups != 3)
    assert same_fold.any()
    torch.testing.assert_close(plain[same_fold], again[same_fold])  # their CCA has not seen the change either
    assert not torch.allclose(plain[fold != fold[groups == 3][0]], again[fold != fold[groups == 3][0]])


def test_cca_of_zero_and_of_constant_embeddings_is_finite():
    student, teacher = pairs()
    student[5] = 0
    for given in ((student, teacher), (torch.zeros(20, 3), normal(20, 4)), (torch.ones(20, 3), torch.ones(20, 2))):
        assert quality.create("pair.cca")(*given).isfinite().all()


def test_cca_with_more_columns_than_rows_is_finite_and_repeats():
    student, teacher = normal(20, 50), normal(20, 40, seed=1)
    found = quality.create("pair.cca")(student, teacher)
    assert found.isfinite().all()
    assert found.abs().max() <= 1 + 1e-6
    assert torch.equal(found, quality.create("pair.cca")(student, teacher))
    assert not torch.equal(found, quality.create("pair.cca", seed=1)(student, teacher))
