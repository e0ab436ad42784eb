"""Bootstrap, paired differences and Holm against scipy and brute force."""

from itertools import permutations, product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xmkd_lib.errors import UserError
from xmkd_lib.evaluation import bootstrap_interval, holm, p_floor, paired_difference

NUMBERS = st.lists(st.integers(-6, 6), min_size=1, max_size=8)


def test_bootstrap_against_scipy():
    from scipy.stats import bootstrap

    values = np.random.default_rng(3).exponential(size=12)
    reference = bootstrap((values,), np.mean, method="percentile", n_resamples=10_000, rng=np.random.default_rng(9))
    np.testing.assert_allclose(bootstrap_interval(values), reference.confidence_interval, atol=0.02)
    wide, narrow = bootstrap_interval(values, level=0.99), bootstrap_interval(values, level=0.5)
    assert wide[0] < narrow[0] < values.mean() < narrow[1] < wide[1]


def test_bootstrap_of_two_values_is_their_range():
    assert bootstrap_interval([1.0, 3.0]) == (1.0, 3.0)  # either alone is drawn a quarter of the time


def test_bootstrap_repeats_and_follows_shift_and_scale():
    values = np.random.default_rng(4).normal(size=10)
    interval = np.array(bootstrap_interval(values, seed=5))
    np.testing.assert_array_equal(bootstrap_interval(values, seed=5), interval)
    np.testing.assert_allclose(bootstrap_interval(3 * values + 2, seed=5), 3 * interval + 2)


@pytest.mark.parametrize("values", [[], [1.0]])
def test_one_value_has_no_interval(values):
    assert np.isnan(bootstrap_interval(values)).all()


@pytest.mark.parametrize("values", [[1.0, np.nan], [np.inf, 1.0]])
def test_values_must_be_finite(values):
    with pytest.raises(UserError, match="1 of 2 values"):
        bootstrap_interval(values)


@given(NUMBERS)
@settings(max_examples=60, deadline=None)
def test_sign_flip_p_by_brute_force(differences):
    sums = [
        abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
        for signs in product((1, -1), repeat=len(differences))
    ]
    expected = np.mean([s >= abs(sum(differences)) for s in sums])
    result = paired_difference(differences, [0] * len(differences))
    assert result.p == expected
    assert result.mean == pytest.approx(np.mean(differences))
    assert result.p >= result.p_floor


def test_sign_flip_p_against_scipy():
    from scipy.stats import permutation_test

    differences = np.random.default_rng(6).normal(0.5, 1, 11)
    reference = permutation_test((differences,), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert paired_difference(differences, np.zeros(11)).p == pytest.approx(reference.pvalue)


def test_rounding_does_not_break_ties():
    # 0.1 + 0.2 - 0.3 is 5.6e-17, not 0: all sign patterns of equal sums must count.
    assert paired_difference([0.1, 0.2, -0.3], [0.0] * 3).p == 1.0
    assert paired_difference([0.7, 0.7], [0.7, 0.7]).p == 1.0


def test_many_pairs_use_monte_carlo_near_the_exact_value():
    differences = np.random.default_rng(7).normal(0.4, 1, 18)
    flips = 1 - 2 * (np.arange(2**18)[:, None] >> np.arange(18) & 1)
    exact = np.mean(np.abs(flips @ differences) >= abs(differences.sum()) - 1e-12)
    assert paired_difference(differences, np.zeros(18)).p == pytest.approx(exact, rel=0.1)
    strong = paired_difference(np.arange(1, 31.0), np.zeros(30))
    assert strong.p == strong.p_floor == 1e-5


@pytest.mark.parametrize(("n", "floor"), [(1, 1.0), (2, 0.5), (5, 0.0625), (10, 2 / 1024), (16, 2**-15)])
def test_p_floor_is_reached_by_one_sided_differences(n, floor):
    assert p_floor(n) == floor
    assert paired_difference(np.arange(1.0, n + 1), np.zeros(n)).p == floor


def test_only_common_seeds_are_paired():
    a, b = {3: 1.0, 1: 2.0, 7: 100.0}, pd.Series({1: 1.0, 3: 0.5, 9: -50.0})
    result = paired_difference(a, b)
    assert (result.n, result.mean) == (2, 0.75)
    assert (result.low, result.high) == (0.5, 1.0)


def test_pairing_is_by_seed_not_by_order():
    assert paired_difference({0: 1.0, 1: 5.0}, {1: 5.0, 0: 1.0}).mean == 0


def test_no_common_seed_gives_nan():
    result = paired_difference({0: 1.0}, {1: 1.0})
    assert result.n == 0
    assert np.isnan([result.mean, result.low, result.high, result.p, result.p_floor]).all()


def test_the_difference_turns_with_its_sides():
    a, b = {0: 1.0, 1: 4.0, 2: 2.5}, {0: 0.5, 1: 1.0, 2: 3.0}
    forth, back = paired_difference(a, b), paired_difference(b, a)
    assert (forth.mean, forth.low, forth.high) == pytest.approx((-back.mean, -back.high, -back.low), abs=1e-9)
    assert forth.p == back.p


def test_sequences_must_fit():
    with pytest.raises(UserError, match="2 and 3 values"):
        paired_difference([1.0, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(UserError, match="not finite"):
        paired_difference([1.0, np.nan], [1.0, 2.0])


def holm_by_loop(pvalues):
    order = sorted(range(len(pvalues)), key=lambda i: pvalues[i])
    adjusted, highest = [0.0] * len(pvalues), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(pvalues) - rank) * pvalues[i]))
        adjusted[i] = highest
    return adjusted


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_by_loop(pvalues):
    adjusted = holm(pvalues)
    assert adjusted == pytest.approx(holm_by_loop(pvalues))
    assert (adjusted >= pvalues).all()
    assert (adjusted <= 1).all()


def test_holm_ignores_order_and_nan():
    pvalues = [0.01, 0.02, 0.3]
    for order in permutations(range(3)):
        np.testing.assert_allclose(holm([pvalues[i] for i in order]), [[0.03, 0.04, 0.3][i] for i in order])
    np.testing.assert_allclose(holm([0.01, np.nan, 0.02]), [0.02, np.nan, 0.02])
    assert holm([]).size == 0
