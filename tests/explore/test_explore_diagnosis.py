"""Collapsed, memorised and other spaces, made by hand, are told apart; the sentence has the numbers."""

import numpy as np
import pytest

from xmkd_lib.errors import UserError
from xmkd_lib.evaluation import effective_rank, spread
from xmkd_lib.explore import diagnose

FAIR = {"test_eer": 0.15, "train_eer": 0.05, "test_distance": 1.9, "train_distance": 1.5}
LABELS = np.repeat(np.arange(10), 6)


def space(common=0.0, noise=0.2, dimensions=16, seed=0):
    """Unit class centres and noise around them, moved by `common` in one direction."""
    rng = np.random.default_rng(seed)
    centres = np.linalg.qr(rng.normal(size=(dimensions, 10)))[0].T
    z = centres[LABELS] + noise / np.sqrt(dimensions) * rng.normal(size=(60, dimensions))
    return z + common * np.ones(dimensions) / np.sqrt(dimensions)


def test_a_space_with_neither_fault():
    found = diagnose("soft", space(), LABELS, FAIR)
    assert found.finding == "neither"
    assert found.sentence.startswith("soft: neither collapsed nor memorised. ")
    assert found.sentence.endswith("EER 5.0 % in training, 15.0 % in test.")


def test_a_common_part_that_leaves_nothing_is_a_collapse():
    z = space(common=8)
    found = diagnose("x", z, LABELS, FAIR)
    units = z / np.linalg.norm(z, axis=1, keepdims=True)
    cosines = [units[i] @ units[j] for i in range(60) for j in range(i) if LABELS[i] != LABELS[j]]
    assert found.finding == "collapsed"
    assert found.mean_cosine == pytest.approx(np.mean(cosines), abs=1e-6)
    assert found.spread == spread(z, LABELS)
    assert found.effective_rank == pytest.approx(effective_rank(units))
    share = f"{100 * found.spread.common:.0f} % of the squared length is common to all"
    assert share in found.sentence
    assert f"{found.effective_rank:.1f} of 16 directions" in found.sentence


def test_a_line_is_a_collapse_though_its_mean_is_zero():
    z = np.outer(np.where(LABELS % 2, 1.0, -1.0), np.eye(16)[0])
    found = diagnose("x", z, LABELS, FAIR)
    assert found.spread.common == pytest.approx(0)
    assert found.finding == "collapsed"


def test_two_classes_may_lie_on_a_line():
    z = np.outer(np.where(LABELS % 2, 1.0, -1.0), np.eye(16)[0])
    assert diagnose("x", z, LABELS % 2, FAIR).finding == "neither"


def test_a_common_part_beside_clear_classes_is_no_collapse():
    found = diagnose("x", space(common=1.5), LABELS, FAIR)
    assert found.spread.common > 0.5
    assert found.finding == "neither"


@pytest.mark.parametrize(
    ("ahead", "held_out", "finding"),
    [
        (0.7, 1.9, "memorised"),
        (0.98, 1.5, "memorised"),
        (0.98, 1.48, "neither"),  # just more than half of the nearness is kept
        (1.02, 1.9, "neither"),  # never came near
        (0.1, 0.4, "neither"),  # the ratio of the distances is large, and nearly all of the nearness is kept
    ],
)
def test_nearness_that_does_not_carry_over_is_memorised(ahead, held_out, finding):
    found = diagnose("hard", space(), LABELS, FAIR | {"train_distance": ahead, "test_distance": held_out})
    assert found.finding == finding


def test_the_sentence_says_how_much_carries_over():
    found = diagnose("hard", space(), LABELS, FAIR | {"train_distance": 0.5, "test_distance": 1.85})
    assert "0.50 in training and 1.85 on new data, where 2 is unrelated: 10 % of the nearness" in found.sentence


def test_a_teacher_has_no_distance_to_itself():
    found = diagnose("teacher", space(), LABELS, {"test_eer": 0.1, "train_eer": 0.0})
    assert found.finding == "neither"
    assert np.isnan(found.distance)


def test_another_split_has_its_own_metrics():
    found = diagnose(
        "x", space(), LABELS, FAIR | {"train_distance": 0.5, "val_eer": 0.3, "val_distance": 2.0}, split="val"
    )
    assert (found.eer, found.finding) == (0.3, "memorised")
    assert found.sentence.endswith("30.0 % in val.")


def test_collapse_to_a_zero_embedding_is_an_error_that_says_so():
    with pytest.raises(UserError, match="60 of 60 embeddings are zero"):
        diagnose("x", np.zeros((60, 4)), LABELS, FAIR)
