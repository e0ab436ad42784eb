"""Rank correlation and error-versus-reject curves, against scipy and plain loops."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from xmkd_lib import quality
from xmkd_lib.errors import UserError

PAIRS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=2, max_size=30)


@settings(deadline=None)
@given(PAIRS)
def test_spearman_equals_scipys_with_ties(pairs):
    x, y = (list(map(float, column)) for column in zip(*pairs, strict=True))
    found = quality.spearman(x, torch.tensor(y))
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert found == 0
    else:
        assert found == pytest.approx(spearmanr(x, y)[0], abs=1e-12)


def curve_by_hand(scores, errors):
    """Mean error of the k best over every order that equal scores allow."""
    n = len(scores)
    orders = [
        o for o in itertools.permutations(range(n)) if all(scores[a] >= scores[b] for a, b in itertools.pairwise(o))
    ]
    return [float(np.mean([np.mean([errors[i] for i in order[:k]]) for order in orders])) for k in range(1, n + 1)]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1)), min_size=2, max_size=6))
def test_the_curve_is_the_mean_over_orders_of_ties(pairs):
    scores, errors = (list(map(float, column)) for column in zip(*pairs, strict=True))
    n = len(scores)
    found = quality.error_versus_reject(scores, errors, [(n - k) / n for k in range(1, n + 1)])
    expected = curve_by_hand(scores, errors)
    assert found.error == pytest.approx(expected)
    ideal = curve_by_hand([-e for e in errors], errors)
    if len(set(errors)) > 1:
        gain = (np.mean(errors) - np.mean(expected)) / (np.mean(errors) - np.mean(ideal))
        assert found.gain == pytest.approx(gain)
    else:
        assert found.gain == 0


def test_gain_of_perfect_chance_and_reversed_scores():
    rng = np.random.default_rng(0)
    errors = (rng.random(2000) < 0.3).astype(float)
    assert quality.error_versus_reject(-errors, errors).gain == pytest.approx(1)
    assert quality.error_versus_reject(errors, errors).gain < -0.5
    assert abs(quality.error_versus_reject(rng.random(2000), errors).gain) < 0.1
    assert quality.error_versus_reject(np.zeros(2000), errors).gain == pytest.approx(0)
    perfect = quality.error_versus_reject(-errors, errors)
    assert perfect.error[0] == pytest.approx(errors.mean())
    assert perfect.error[-1] == 0
    assert len(perfect.fractions) == 20


def test_losses_are_errors_too():
    loss = torch.tensor([0.1, 2.5, 0.7, 0.3])
    found = quality.error_versus_reject(-loss, loss, [0.0, 0.5])
    assert found.error == pytest.approx([0.9, 0.2])
    assert found.gain == pytest.approx(1)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: quality.spearman([1.0, 2.0], [1.0]), ["(2,)", "(1,)"]),
        (lambda: quality.spearman([1.0], [1.0]), ["at least two"]),
        (lambda: quality.spearman([1.0, float("nan")], [1.0, 2.0]), ["1 of 2 scores", "NaN"]),
        (lambda: quality.error_versus_reject([1.0, 2.0], [1.0, float("nan")]), ["1 of 2 errors", "NaN"]),
        (lambda: quality.error_versus_reject([1.0, 2.0], [1.0, 0.0], [0.0, 1.0]), ["fraction 1.0"]),
    ],
)
def test_wrong_input_is_named(call, words):
    with pytest.raises(UserError) as error:
        call()
    assert all(word in str(error.value) for word in words), str(error.value)
