"""The identities of soft constraints, for every loss, mode and margin."""

import math

import pytest
import torch
from cases import CASES, LABELS, SOFTENABLE, N, batch, create, gradients, trained
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from xmkd_lib import losses
from xmkd_lib.errors import UserError
from xmkd_lib.losses.soften import MODES
from xmkd_lib.outputs import Outputs

SEEDS = st.integers(0, 1000)
few = settings(max_examples=4, deadline=None, derandomize=True, phases=[Phase.generate])  # a seed has no smaller one


def sides(case, seed=0):
    """A batch in which one student is its teacher: the minimum of most losses, where a relu would cut."""
    student, teacher = batch(case, seed=seed)
    for a, b in zip(student, teacher, strict=True):
        if a.shape == b.shape:
            a[0] = b[0]
    return student, teacher


def softened(case, margin, mode="hinge", beta=10.0):
    return losses.soften(create(case), margin, mode, beta)


def found_and_gradients(case, margin=None, mode="hinge", seed=0):
    """Values and gradients of a loss, hard without a margin."""
    loss = create(case)
    student, teacher = (Outputs(*(x.requires_grad_() for x in side)) for side in sides(case, seed))
    soft = loss if margin is None else losses.soften(loss, margin, mode)
    value = soft(student, teacher, LABELS)
    return value.detach(), gradients(value.sum(), trained(loss, student))


# Whose least value is not at the teacher: theirs is reached by the teacher itself, or it is above 0 there.
ABOVE_ZERO = {"teacher_head", "rank of three"}


def teachers_own(case, teacher):
    """What the teacher's own outputs cost: nothing, but where its classifier or a gap asks for more than it has."""
    return create(case)(teacher, teacher, LABELS) if case in ABOVE_ZERO else torch.zeros(N, dtype=torch.float64)


@pytest.mark.parametrize("case", SOFTENABLE)
@few
@given(share=st.floats(0, 1.2), seed=SEEDS)
def test_values_of_the_modes_with_a_fixed_margin(case, share, seed):
    """At margins from none to above the largest value."""
    student, teacher = sides(case, seed)
    value = create(case)(student, teacher, LABELS).detach()
    margin, beta = share * value.max().item(), 7.0
    over = (value - margin).clamp_min(0)
    expected = {
        "hinge": over,
        "squared": over**2,
        "smooth": ((1 + (beta * (value - margin)).exp()).log() - math.log1p(math.exp(-beta * margin))) / beta,
    }
    for mode, wanted in expected.items():
        soft = softened(case, margin, mode, beta)(student, teacher, LABELS)
        torch.testing.assert_close(soft, wanted, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("case", SOFTENABLE)
@few
@given(share=st.floats(0, 1.2), seed=SEEDS)
def test_bounded_takes_off_what_the_teacher_itself_costs(case, share, seed):
    student, teacher = sides(case, seed)
    value = create(case)(student, teacher, LABELS).detach()
    margin = share * value.max().item()
    wanted = (value - teachers_own(case, teacher) - margin).clamp_min(0)
    soft = softened(case, margin, "bounded")(student, teacher, LABELS)
    torch.testing.assert_close(soft, wanted, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("case", SOFTENABLE)
def test_hinge_without_margin_is_the_hard_loss_exactly(case):
    hard, slopes = found_and_gradients(case)
    for zero in (0, 0.0):
        soft, soft_slopes = found_and_gradients(case, zero)
        assert torch.equal(soft, hard)
        assert all(map(torch.equal, soft_slopes, slopes))


class Cone(losses.Loss):
    """Non-zero slope at its minimum: there the hinge at 0 must not cut the gradient off."""

    level = "feature"

    def per_sample(self, student, teacher, labels):
        return (student.embedding - teacher.embedding).sum(1)


def test_hinge_without_margin_keeps_the_gradient_where_the_loss_is_zero():
    z = torch.ones(2, 3, requires_grad=True)
    value = losses.soften(Cone(), 0)(Outputs(z), Outputs(torch.ones(2, 3)))
    value.sum().backward()
    assert torch.equal(value, torch.zeros(2))
    assert torch.equal(z.grad, torch.ones(2, 3))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", SOFTENABLE)
def test_infinite_margin_is_no_constraint(case, mode):
    value, slopes = found_and_gradients(case, math.inf, mode)
    assert torch.equal(value, torch.zeros(N, dtype=torch.float64))
    assert all(slope.abs().max() == 0 for slope in slopes)  # false for NaN, too


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", SOFTENABLE)
@few
@given(shares=st.tuples(st.floats(0, 1.5), st.floats(0, 1.5)), seed=SEEDS)
def test_a_wider_margin_never_costs_more_and_nothing_is_negative(case, mode, shares, seed):
    student, teacher = sides(case, seed)
    largest = create(case)(student, teacher, LABELS).max().item()
    narrow, wide = (softened(case, share * largest, mode)(student, teacher, LABELS) for share in sorted(shares))
    assert (wide <= narrow + 1e-12).all()
    assert wide.min() >= -1e-12


@pytest.mark.parametrize("case", [case for case in SOFTENABLE if not create(case).relational])
@few
@given(share=st.floats(0.05, 0.95), seed=SEEDS)
def test_hinge_gradient_is_the_hard_one_or_none(case, share, seed):
    value, hard = found_and_gradients(case, seed=seed)
    margin = share * value.max().item()
    _, soft = found_and_gradients(case, margin, seed=seed)
    outside = (value > margin)[:, None]
    for field in range(2):
        torch.testing.assert_close(soft[field], torch.where(outside, hard[field], 0.0), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("case", SOFTENABLE)
@few
@given(share=st.floats(0, 1.2), beta=st.floats(1, 1e4))
def test_smooth_tends_to_the_hinge(case, share, beta):
    student, teacher = sides(case)
    margin = share * create(case)(student, teacher, LABELS).max().item()
    smooth = softened(case, margin, "smooth", beta)(student, teacher, LABELS)
    hinge = softened(case, margin)(student, teacher, LABELS)
    assert (smooth - hinge).abs().max() <= math.log(2) / beta + 1e-9


@pytest.mark.parametrize("case", ["simkd", "srrl"])
def test_bounded_needs_no_equal_widths(case):
    """The teacher's own loss does not pass through the student's connector."""
    student, teacher = batch(case)
    assert student.embedding.shape != teacher.embedding.shape
    bounded, hinge = (softened(case, 0.1, mode)(student, teacher, LABELS) for mode in ("bounded", "hinge"))
    torch.testing.assert_close(bounded, hinge)


@pytest.mark.parametrize("case", [case for case in CASES if case not in SOFTENABLE])
@pytest.mark.parametrize("mode", MODES)
def test_a_loss_without_the_minimum_zero_is_refused(case, mode):
    with pytest.raises(UserError, match=f"'{case.split()[0]}'.*minimum"):
        softened(case, 0.1, mode)


def test_bounded_asks_no_more_than_the_teacher_reaches():
    hard = create("teacher_head")
    _, teacher = batch("teacher_head")
    assert hard(teacher, teacher, LABELS).min() > 0.01
    assert losses.soften(hard, 0.0, "bounded")(teacher, teacher, LABELS).abs().max() == 0


@settings(max_examples=40, deadline=None, derandomize=True)
@given(angle=st.floats(0, math.pi), seed=SEEDS)
def test_cosine_and_squared_distance_hinges_are_one_loss(angle, seed):
    """½(d² − m²)₊ = (cos m_θ − cos θ)₊ with m = 2 sin(m_θ/2)."""
    student, teacher = sides("l2", seed)
    theta = losses.create("angular")(student, teacher)
    by_cosine = (math.cos(angle) - theta.cos()).clamp_min(0)
    m_squared = (2 * math.sin(angle / 2)) ** 2
    by_l2 = losses.soften(losses.create("l2"), m_squared)(student, teacher) / 2
    by_loss = losses.soften(losses.create("cosine"), m_squared / 2)(student, teacher)
    torch.testing.assert_close(by_l2, by_cosine, rtol=0, atol=1e-9)
    torch.testing.assert_close(by_loss, by_cosine, rtol=0, atol=1e-9)


def test_softened_is_a_loss_and_can_be_softened():
    soft = losses.soften(losses.create("l2"), 0.5)
    assert isinstance(soft, losses.Loss)
    assert (soft.level, soft.minimum, soft.reads) == ("feature", 0.0, ("embedding",))
    student, teacher = sides("l2")
    twice = losses.soften(soft, 0.25)(student, teacher)
    torch.testing.assert_close(twice, losses.soften(losses.create("l2"), 0.75)(student, teacher))
    values = losses.create("l2")(student, teacher)
    assert torch.equal(soft.soft(values, teacher), soft(student, teacher))


@pytest.mark.parametrize("mode", MODES)
def test_half_precision_and_detached_teacher(mode):
    student, teacher = (Outputs(*(x.bfloat16().requires_grad_() for x in side)) for side in batch("kd"))
    value = losses.soften(create("kd"), 0.01, mode)(student, teacher, LABELS)
    value.sum().backward()
    assert value.dtype == torch.float32
    assert student.logits.grad.isfinite().all()
    assert teacher.logits.grad is None


class SoftTargets(losses.Loss):
    """Cross-entropy to soft targets: its minimum is the teacher's entropy."""

    level, minimum, reads = "classifier", None, ("logits",)

    def per_sample(self, student, teacher, labels):
        return F.cross_entropy(student.logits, teacher.logits.softmax(1), reduction="none")


@pytest.mark.parametrize(
    ("loss", "arguments", "words"),
    [
        (SoftTargets(), {"margin": 0.1}, ["SoftTargets", "minimum"]),
        (losses.create("l2"), {"margin": "auto"}, ["auto", "calibration"]),
        (losses.create("l2"), {"margin": "wide"}, ["'wide'"]),
        (losses.create("l2"), {"margin": -0.1}, ["-0.1"]),
        (losses.create("l2"), {"margin": math.nan}, ["nan"]),
        (losses.create("l2"), {"margin": True}, ["True"]),
        (losses.create("l2"), {"margin": 1.0, "mode": "hing"}, ["'hing'", "'hinge'"]),
        (losses.create("l2"), {"margin": 1.0, "mode": "smooth", "beta": 0.0}, ["beta", "0.0"]),
    ],
)
def test_what_cannot_be_softened_is_refused(loss, arguments, words):
    with pytest.raises(UserError) as error:
        losses.soften(loss, **arguments)
    assert all(word in str(error.value) for word in words), str(error.value)
