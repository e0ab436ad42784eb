"""Trials, EER and minDCF against loops, scikit-learn's ROC curve and properties."""

import subprocess
import sys
from time import perf_counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xmkd_lib.errors import UserError
from xmkd_lib.evaluation import det_curve, eer, min_dcf, trial_scores

# Whole-number scores tie often. Both kinds of trial occur.
TRIALS = st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=0, max_size=40).map(
    lambda trials: tuple(map(np.array, zip(*[*trials, (0, True), (1, False)], strict=True)))
)


def rates_by_loop(scores, targets):
    thresholds = [*sorted(set(scores.tolist())), np.inf]
    miss = [np.mean([s < t for s in scores[targets]]) for t in thresholds]
    false_alarm = [np.mean([s >= t for s in scores[~targets]]) for t in thresholds]
    return np.array(miss), np.array(false_alarm)


def eer_by_loop(scores, targets):
    miss, false_alarm = rates_by_loop(scores, targets)
    for i in range(1, len(miss)):
        before, after = miss[i - 1] - false_alarm[i - 1], miss[i] - false_alarm[i]
        if before <= 0 <= after:
            share = before / (before - after)
            crossing = (1 - share) * miss[i - 1] + share * miss[i]
            assert crossing == pytest.approx((1 - share) * false_alarm[i - 1] + share * false_alarm[i])
            return crossing
    raise AssertionError("the curves must cross")


def test_trial_scores_against_a_loop():
    rng = np.random.default_rng(0)
    embeddings, labels = rng.normal(size=(9, 4)), rng.integers(0, 3, 9)
    centre = rng.normal(size=4)
    scores, is_target = trial_scores(embeddings, labels, centre)
    expected, same = [], []
    for i in range(9):
        for j in range(i + 1, 9):
            a, b = embeddings[i] - centre, embeddings[j] - centre
            expected.append(a @ b / np.sqrt((a @ a) * (b @ b)))
            same.append(labels[i] == labels[j])
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    assert is_target.tolist() == same


def test_trial_scores_leave_their_input_alone_and_take_zero_rows():
    embeddings = np.array([[0.0, 0.0], [3.0, 4.0], [1.0, 0.0]])
    before = embeddings.copy()
    scores, _ = trial_scores(embeddings, [0, 0, 1], centre=np.array([1.0, 0.0]))
    np.testing.assert_array_equal(embeddings, before)
    np.testing.assert_allclose(scores, [-2 / np.sqrt(20), 0, 0], atol=1e-7)  # row 2 lies on the centre


def test_collapsed_embeddings_are_a_coin_toss_not_rounding_noise():
    row = np.random.default_rng(0).normal(size=64).astype(np.float32)
    scores, is_target = trial_scores(np.tile(row, (300, 1)), np.arange(300) % 40)
    assert np.unique(scores).size == 1
    assert eer(scores, is_target) == 0.5
    assert min_dcf(scores, is_target) == 1.0


def test_scores_do_not_depend_on_the_scale_of_an_embedding():
    rng = np.random.default_rng(1)
    embeddings = rng.normal(size=(20, 5))
    scaled = embeddings * rng.uniform(0.01, 100, (20, 1))
    np.testing.assert_allclose(trial_scores(embeddings, range(20))[0], trial_scores(scaled, range(20))[0], atol=1e-6)


@given(TRIALS)
@settings(max_examples=200, deadline=None)
def test_eer_against_a_loop(trials):
    assert eer(*trials) == pytest.approx(eer_by_loop(*trials), abs=1e-12)


@given(TRIALS)
@settings(max_examples=100, deadline=None)
def test_det_curve_against_a_loop(trials):
    scores, targets = trials
    curve = det_curve(scores, targets)
    miss, false_alarm = rates_by_loop(scores, targets)
    np.testing.assert_allclose(curve.miss, miss, atol=1e-12)
    np.testing.assert_allclose(curve.false_alarm, false_alarm, atol=1e-12)
    np.testing.assert_array_equal(curve.threshold, [*sorted(set(scores.tolist())), np.inf])
    at = scores >= curve.eer_threshold
    below = scores >= max(curve.threshold[curve.threshold < curve.eer_threshold], default=-np.inf)
    assert np.mean(~at[targets]) >= np.mean(at[~targets])  # from here on more is missed than falsely accepted
    assert np.mean(~below[targets]) < np.mean(below[~targets])


def test_det_curve_against_sklearn():
    from sklearn.metrics import det_curve as reference

    rng = np.random.default_rng(3)
    targets = rng.random(500) < 0.3
    scores = np.round(rng.normal(size=500) + targets, 1)
    false_alarm, miss, threshold = reference(targets, scores, drop_intermediate=False)
    curve = det_curve(scores, targets)
    for found, expected in zip(curve, (miss, false_alarm, threshold), strict=True):
        # scikit-learn leaves out points of its choice at both ends, and keeps the order of the thresholds
        places = np.searchsorted(curve.threshold, threshold)
        np.testing.assert_allclose(found[places], expected, atol=1e-12)


@given(TRIALS, st.sampled_from([0.01, 0.05, 0.5, 0.9]))
@settings(max_examples=100, deadline=None)
def test_min_dcf_against_a_loop(trials, p):
    miss, false_alarm = rates_by_loop(*trials)
    expected = min(p * m + (1 - p) * f for m, f in zip(miss, false_alarm, strict=True)) / min(p, 1 - p)
    assert min_dcf(*trials, p_target=p) == pytest.approx(expected, abs=1e-12)
    assert 0 <= min_dcf(*trials, p_target=p) <= 1 + 1e-12


@given(TRIALS, st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_eer_is_symmetric_and_sees_only_the_order(trials, random):
    scores, targets = trials
    value = eer(scores, targets)
    assert eer(np.exp(scores / 2), targets) == value  # a rising map keeps every threshold
    assert eer(-scores, ~targets) == pytest.approx(value, abs=1e-12)  # misses and false alarms change places
    assert eer(-scores, targets) == pytest.approx(1 - value, abs=1e-12)
    order = random.sample(range(len(scores)), len(scores))
    assert eer(scores[order], targets[order]) == value


def test_eer_and_min_dcf_against_sklearn():
    from sklearn.metrics import roc_curve

    rng = np.random.default_rng(2)
    targets = rng.random(4000) < 0.1
    scores = np.round(rng.normal(size=4000) + 1.5 * targets, 1)
    false_alarm, hit, _ = roc_curve(targets, scores, drop_intermediate=False)
    fine = np.linspace(0, 1, 200_001)
    miss = 1 - np.interp(fine, false_alarm, hit)
    assert eer(scores, targets) == pytest.approx(fine[np.argmin(np.abs(miss - fine))], abs=1e-5)
    cost = np.min(0.05 * (1 - hit) + 0.95 * false_alarm) / 0.05
    assert min_dcf(scores, targets, p_target=0.05) == pytest.approx(cost, abs=1e-12)


@pytest.mark.parametrize(("scores", "expected"), [([2, 2, 1, 1], 0.0), ([1, 1, 2, 2], 1.0), ([3, 3, 3, 3], 0.5)])
def test_eer_at_its_ends(scores, expected):
    assert eer(scores, [True, True, False, False]) == expected


def test_eer_interpolates_between_unequal_steps():
    # One target, ties with one of two non-targets: the ROC runs from (fa 1/2, miss 0) straight to (0, 1).
    assert eer([1.0, 1.0, 0.0], [True, False, False]) == pytest.approx(1 / 3)


def test_min_dcf_at_its_ends_and_by_costs():
    targets = np.array([True, True, False, False])
    assert min_dcf([2, 2, 1, 1], targets) == 0
    assert min_dcf([1, 1, 2, 2], targets) == 1
    assert min_dcf([2, 1, 1, 0], targets, p_target=0.5) == pytest.approx(0.5)
    # A miss ten times as dear: the blind decision accepts all (cost 0.5), one false alarm of two halves it.
    assert min_dcf([2, 1, 1, 0], targets, p_target=0.5, c_miss=10) == pytest.approx(0.5)


@pytest.mark.parametrize("metric", [eer, min_dcf, det_curve])
@pytest.mark.parametrize(
    ("scores", "targets", "message"),
    [
        ([1.0, 2.0], [True, True], "non-target trial"),
        ([1.0, 2.0], [False, False], "a target trial"),
        ([], [], "target trial"),
        ([1.0, np.nan], [True, False], "not finite"),
        ([1.0, np.inf], [True, False], "not finite"),
        ([1.0, 2.0, 3.0], [True, False], "shape"),
    ],
)
def test_bad_trials_are_refused(metric, scores, targets, message):
    with pytest.raises(UserError, match=message):
        metric(scores, targets)


@pytest.mark.parametrize("bad", [{"p_target": 0.0}, {"p_target": 1.0}, {"c_miss": 0}, {"c_fa": -1}])
def test_min_dcf_refuses_senseless_costs(bad):
    with pytest.raises(UserError, match="minDCF"):
        min_dcf([1.0, 0.0], [True, False], **bad)


def test_bad_embeddings_are_refused():
    with pytest.raises(UserError, match="not finite"):
        trial_scores([[np.nan, 1.0], [1.0, 1.0]], [0, 1])
    with pytest.raises(UserError, match="need"):
        trial_scores([[0.0, 1.0], [1.0, 1.0]], [0, 1, 2])


def test_two_hundred_thousand_trials_are_quick():
    rng = np.random.default_rng(0)
    embeddings, labels = rng.normal(size=(640, 64)).astype(np.float32), np.repeat(np.arange(80), 8)
    times = []
    for _ in range(5):
        start = perf_counter()
        eer(*trial_scores(embeddings, labels, embeddings.mean(0)))
        times.append(perf_counter() - start)
    assert min(times) < 0.2  # about 25 ms on an idle core


def test_training_does_not_pay_for_scipy():
    code = "import sys, xmkd_lib.evaluation; assert not {'scipy', 'sklearn', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
