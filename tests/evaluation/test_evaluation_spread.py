"""Effective rank and the shares of the squared length, against loops, constructions and properties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xmkd_lib.errors import UserError
from xmkd_lib.evaluation import effective_rank, spread

SEEDS = st.integers(0, 2**32 - 1)


def rank_by_covariance(z):
    variances = np.linalg.eigvalsh(np.cov(z.T))
    return variances.sum() ** 2 / (variances**2).sum()


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_effective_rank_is_that_of_the_covariance(seed):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(30, 5)) * rng.uniform(0.1, 3, 5) + rng.normal(size=5)
    assert effective_rank(z) == pytest.approx(rank_by_covariance(z), rel=1e-9)


@given(SEEDS, st.floats(1e-6, 1e6), st.floats(-100, 100))
@settings(max_examples=30, deadline=None)
def test_effective_rank_does_not_see_shift_scale_and_rotation(seed, scale, shift):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(20, 4)) * [3, 2, 1, 0.5]
    turn, _ = np.linalg.qr(rng.normal(size=(4, 4)))
    assert effective_rank(scale * (z @ turn + shift)) == pytest.approx(effective_rank(z), rel=1e-6)


@pytest.mark.parametrize("dimensions", [1, 2, 7, 32])
def test_isotropic_points_fill_all_directions(dimensions):
    z = np.concatenate([np.eye(dimensions), -np.eye(dimensions)])
    assert effective_rank(z) == pytest.approx(dimensions, abs=1e-12)


def test_effective_rank_at_its_ends():
    line = np.outer(np.arange(10), np.ones(5)) + 7
    assert effective_rank(line) == pytest.approx(1)
    row = np.random.default_rng(0).normal(size=64)
    assert effective_rank(np.tile(row, (50, 1))) == 0  # not the rank of rounding noise
    assert effective_rank(np.zeros((3, 2))) == 0
    assert effective_rank(1e-200 * line) == pytest.approx(1)  # squares would be zero


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_spread_against_loops(seed):
    rng = np.random.default_rng(seed)
    z, labels = rng.normal(size=(17, 3)) + 0.5, rng.integers(0, 4, 17)
    units = [row / np.sqrt(row @ row) for row in z]
    centres = {k: np.mean([u for u, y in zip(units, labels, strict=True) if y == k], axis=0) for k in set(labels)}
    mean = np.mean(units, axis=0)
    between = np.mean([np.sum((centres[y] - mean) ** 2) for y in labels])
    within = np.mean([np.sum((u - centres[y]) ** 2) for u, y in zip(units, labels, strict=True)])
    found = spread(z, labels)
    assert found == pytest.approx((mean @ mean, between, within), abs=1e-12)
    assert sum(found) == pytest.approx(1)
    assert found.common == pytest.approx(np.mean([[u @ v for v in units] for u in units]))


def test_spread_at_its_ends():
    assert spread([[2.0, 0.0]] * 4, [0, 0, 1, 1]) == pytest.approx((1, 0, 0))
    assert spread([[1.0, 0.0], [3.0, 0.0], [-1.0, 0.0], [-2.0, 0.0]], [0, 0, 1, 1]) == pytest.approx((0, 1, 0))
    assert spread([[1.0, 0.0], [-1.0, 0.0]] * 2, [0, 0, 1, 1]) == pytest.approx((0, 0, 1))


@pytest.mark.parametrize(
    ("embeddings", "message"),
    [([[1.0, 2.0]], "N of 2"), ([1.0, 2.0], "need"), ([[np.nan, 0.0], [1.0, 0.0]], "not finite")],
)
def test_bad_embeddings_are_refused(embeddings, message):
    with pytest.raises(UserError, match=message):
        effective_rank(embeddings)
    with pytest.raises(UserError, match=message):
        spread(embeddings, [0] * len(embeddings))


def test_spread_refuses_unfitting_labels_and_zero_rows():
    with pytest.raises(UserError, match=r"labels \(3,\)"):
        spread(np.ones((2, 2)), [0, 1, 2])
    with pytest.raises(UserError, match="1 of 2 embeddings are zero"):
        spread([[0.0, 0.0], [1.0, 0.0]], [0, 1])
