"""Scores to quality to weights: the promises that training rests on."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from xmkd_lib import quality
from xmkd_lib.errors import UserError
from xmkd_lib.quality.weights import MAPPINGS

SCORES = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=40)
QUALITIES = st.lists(st.floats(0, 1), min_size=2, max_size=40)
STRENGTH = st.floats(0.01, 1)
quietly = pytest.mark.filterwarnings("ignore:Weights leave:UserWarning")


def usable(q, mapping, alpha):
    """Some weight remains: power and gate at full strength can leave none."""
    assume(not (mapping == "gate" and alpha == 1 and max(q) < 0.25))
    assume(max(q) > 1e-6)


@given(SCORES)
def test_cdf_is_the_share_below_with_ties_by_half(scores):
    found = quality.fit(scores)(scores).double()
    n = len(scores)
    for score, q in zip(scores, found.tolist(), strict=True):
        expected = sum(1.0 if other < score else 0.5 if other == score else 0.0 for other in scores) / n
        assert q == pytest.approx(expected, abs=1e-6)
    assert found.mean().item() == pytest.approx(0.5, abs=1e-6)


@given(SCORES, SCORES)
def test_cdf_of_other_data_is_monotone_and_within_bounds(train, other):
    q = quality.fit(train)(sorted(other))
    assert (q.diff() >= 0).all()
    assert 0 <= q.min() <= q.max() <= 1
    assert torch.equal(quality.fit(train)([-2e6, 2e6]), torch.tensor([0.0, 1.0]))


@given(SCORES)
def test_cdf_ignores_the_unit(scores):
    values = torch.tensor(scores, dtype=torch.float64).round()
    assert torch.equal(quality.fit(values)(values), quality.fit(8 * values + 3)(8 * values + 3))


@quietly
@settings(deadline=None)
@given(QUALITIES, st.sampled_from(MAPPINGS), STRENGTH)
def test_mean_is_one_and_weights_rise_with_quality(q, mapping, alpha):
    usable(q, mapping, alpha)
    w = quality.weights(sorted(q), mapping, alpha=alpha)
    assert w.double().mean().item() == pytest.approx(1, abs=1e-6)
    assert (w.diff() >= 0).all()
    assert w.min() >= 0
    assert not w.requires_grad


@settings(deadline=None)
@given(QUALITIES, st.sampled_from(MAPPINGS))
def test_no_strength_gives_exact_ones(q, mapping):
    assert torch.equal(quality.weights(q, mapping, alpha=0.0), torch.ones(len(q)))


@quietly
@settings(deadline=None)
@given(QUALITIES, st.sampled_from(MAPPINGS), STRENGTH, st.randoms(use_true_random=False))
def test_weights_follow_their_samples_and_ties_weigh_the_same(q, mapping, alpha, random):
    usable(q, mapping, alpha)
    q = q + q
    order = random.sample(range(len(q)), len(q))
    w = quality.weights(q, mapping, alpha=alpha)
    torch.testing.assert_close(quality.weights([q[i] for i in order], mapping, alpha=alpha), w[order])
    torch.testing.assert_close(w[: len(q) // 2], w[len(q) // 2 :], rtol=0, atol=0)


def test_mappings_by_hand():
    q = [0.0, 0.5, 1.0]
    expected = {
        "linear": [0.4, 0.7, 1.0],
        "power": [0.0, 0.5**0.6, 1.0],
        "gate": [0.4, 1.0, 1.0],
        "softmax": np.exp(0.6 * np.array([-1, 0, 1]) * 1.5**0.5 / 2),
    }
    for mapping, raw in expected.items():
        w = quality.weights(q, mapping, alpha=0.6, tau=2.0, threshold=0.5)
        np.testing.assert_allclose(w, np.array(raw) / np.mean(raw), rtol=1e-6)


@quietly
def test_clip_bounds_the_weights_before_the_mean_is_set():
    q = torch.cat([torch.zeros(99), torch.ones(1)])
    w = quality.weights(q, "power", clip=(0.1, 5.0))
    torch.testing.assert_close(w[-1] / w[0], torch.tensor(50.0))
    assert w.mean().item() == pytest.approx(1)


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_constant_quality_gives_ones(mapping):
    assert torch.equal(quality.weights([0.5] * 7, mapping), torch.ones(7))


def test_strong_softmax_does_not_overflow():
    with pytest.warns(UserWarning, match="effective"):
        w = quality.weights(np.linspace(0, 1, 100), "softmax", alpha=1e4)
    assert w.isfinite().all()
    assert w.mean().item() == pytest.approx(1)


@quietly
@pytest.mark.parametrize(("mapping", "alpha", "tau"), [("softmax", 1.5e308, 1.0), ("power", 1074.0, 1.0)])
def test_extreme_strengths_keep_the_best_alone_and_finite(mapping, alpha, tau):
    w = quality.weights([0.1, 0.2, 0.5], mapping, alpha=alpha, tau=tau)
    assert w.tolist() == [0.0, 0.0, 3.0]


@given(QUALITIES, st.floats(0, 3), st.floats(0, 3))
def test_combine_is_a_product_of_powers(q, a, b):
    other = q[::-1]
    found = quality.combine(q, torch.tensor(other, dtype=torch.float64), a, b)
    np.testing.assert_allclose(found, [x**a * y**b for x, y in zip(q, other, strict=True)], rtol=1e-5, atol=1e-30)
    assert torch.equal(quality.combine(q, other, 0, 0), torch.ones(len(q)))


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=50))
def test_effective_sample_size_is_kishs(w):
    w = torch.tensor(w, dtype=torch.float64)
    cv2 = w.var(correction=0) / w.mean() ** 2
    assert quality.effective_sample_size(w) == pytest.approx(1 / (1 + cv2.item()))
    assert quality.effective_sample_size(torch.ones(9)) == 1
    assert quality.effective_sample_size(torch.eye(8)[0]) == pytest.approx(1 / 8)


def test_warns_below_half_and_only_there():
    few = [0.0] * 80 + [1.0] * 20
    with pytest.warns(UserWarning, match="20%"):
        quality.weights(few, "power", clip=(0.0, 10.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quality.weights([0.0] * 40 + [1.0] * 60, "power")


def test_permuted_is_the_same_set_elsewhere():
    w = quality.weights(torch.linspace(0, 1, 200))
    first = quality.permuted(w, seed=3)
    assert torch.equal(first.sort().values, w.sort().values)
    assert torch.equal(first, quality.permuted(w, seed=3))
    assert not torch.equal(first, quality.permuted(w, seed=4))
    assert abs(np.corrcoef(first, w)[0, 1]) < 0.3


def test_scores_from_a_graph_are_detached():
    scores = torch.rand(9, requires_grad=True)
    q = quality.fit(scores)(scores)
    assert not q.requires_grad
    assert not quality.weights(scores).requires_grad


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: quality.fit([1.0, float("nan"), float("nan")]), ["2 of 3", "NaN"]),
        (lambda: quality.fit([1.0])([float("nan")]), ["1 of 1", "NaN"]),
        (lambda: quality.fit([]), ["(0,)"]),
        (lambda: quality.fit(torch.ones(2, 2)), ["(2, 2)"]),
        (lambda: quality.weights([0.1, float("nan")]), ["1 of 2", "NaN"]),
        (lambda: quality.weights([0.1, 12.0, -3.0]), ["2 of 3", "quality.fit"]),
        (lambda: quality.weights([0.1], "liner"), ["'liner'", "'linear'"]),
        (lambda: quality.weights([0.1], alpha=-0.5), ["-0.5", "1 - quality"]),
        (lambda: quality.weights([0.1], alpha=1.5), ["1.5", "at most 1"]),
        (lambda: quality.weights([0.1], "softmax", tau=0.0), ["tau", "0.0"]),
        (lambda: quality.weights([0.1], clip=(2.0, 1.0)), ["clip"]),
        (lambda: quality.weights([0.1], clip=("0", 5.0)), ["clip"]),
        (lambda: quality.weights([0.1], clip=5.0), ["clip is 5.0"]),
        (lambda: quality.weights([0.1], "softmax", alpha=float("inf")), ["alpha is inf", "finite"]),
        (lambda: quality.weights([0.1], "softmax", alpha=1e300, tau=1e-300), ["tau is 1e-300"]),
        (lambda: quality.weights([0.1], alpha="1"), ["alpha is '1'"]),
        (lambda: quality.weights([0.1], tau="1"), ["tau is '1'"]),
        (lambda: quality.weights([0.1], "gate", threshold=float("nan")), ["threshold is nan"]),
        (lambda: quality.weights([0.1], "gate", threshold="0.5"), ["threshold is '0.5'"]),
        (lambda: quality.weights(["good", "bad"]), ["Qualities are no numbers"]),
        (lambda: quality.fit([0.1, None]), ["Training scores are no numbers"]),
        (lambda: quality.combine([0.1], [0.1], b="1"), ["b = '1'"]),
        (lambda: quality.weights([0.1, 0.2], "gate", threshold=0.9), ["All weights are 0", "0.9"]),
        (lambda: quality.combine([0.1], [0.1, 0.2]), ["1 students", "2 teachers"]),
        (lambda: quality.combine([0.1], [0.1], a=-1.0), ["-1.0", "1 - q"]),
    ],
)
def test_wrong_input_is_named(call, words):
    with pytest.raises(UserError) as error:
        call()
    assert all(word in str(error.value) for word in words), str(error.value)
