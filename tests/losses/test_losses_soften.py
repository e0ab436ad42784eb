"""The identities of soft constraints, for every loss, mode and margin."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from xmkd_lib import losses
from xmkd_lib.errors import UserError
from xmkd_lib.losses.soften import MODES
from xmkd_lib.outputs import Outputs

NAMES = ["l2", "cosine", "angular", "kd", "teacher_head"]
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])
MARGINS = st.floats(0, 5, allow_nan=False)
SEEDS = st.integers(0, 1000)


def create(name):
    if name == "teacher_head":
        return losses.create(name, weight=batch(seed=99)[0].embedding[:3], scale=5.0)
    return losses.create(name)


def batch(seed=0):
    g = torch.Generator().manual_seed(seed)
    z_s, l_s, z_t, l_t = (torch.randn(6, w, dtype=torch.float64, generator=g) for w in (4, 3, 4, 3))
    z_s[0], l_s[0] = z_t[0], l_t[0]  # one student is its teacher: the loss's minimum, where relu would cut
    return Outputs(z_s, l_s), Outputs(z_t, l_t)


def value_and_gradient(loss, seed=0):
    student, teacher = batch(seed)
    for x in student:
        x.requires_grad_()
    value = loss(student, teacher, LABELS)
    value.sum().backward()
    return value.detach(), torch.cat([torch.zeros(6, 0) if x.grad is None else x.grad for x in student], 1)


@settings(max_examples=25, deadline=None)
@given(name=st.sampled_from(NAMES), margin=MARGINS, seed=SEEDS)
def test_values_of_all_modes(name, margin, seed):
    hard = create(name)
    student, teacher = batch(seed)
    value, reference = hard(student, teacher, LABELS), hard(teacher, teacher, LABELS)
    over = (value - margin).clamp_min(0)
    beta = 7.0
    expected = {
        "hinge": over,
        "squared": over**2,
        "smooth": ((1 + (beta * (value - margin)).exp()).log() - math.log1p(math.exp(-beta * margin))) / beta,
        "bounded": (value - reference - margin).clamp_min(0),
    }
    for mode in MODES:
        soft = losses.soften(hard, margin, mode, beta=beta)(student, teacher, LABELS)
        torch.testing.assert_close(soft, expected[mode], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_hinge_without_margin_is_the_hard_loss_exactly(name):
    for soft, hard in zip(
        value_and_gradient(losses.soften(create(name), 0.0)), value_and_gradient(create(name)), strict=True
    ):
        assert torch.equal(soft, hard)


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
@pytest.mark.parametrize("name", NAMES)
def test_infinite_margin_is_no_constraint(name, mode):
    value, gradient = value_and_gradient(losses.soften(create(name), math.inf, mode))
    assert torch.equal(value, torch.zeros(6, dtype=torch.float64))
    assert gradient.abs().max() == 0  # false for NaN, too


@settings(max_examples=25, deadline=None)
@given(name=st.sampled_from(NAMES), mode=st.sampled_from(MODES), margins=st.tuples(MARGINS, MARGINS), seed=SEEDS)
def test_a_wider_margin_never_costs_more_and_nothing_is_negative(name, mode, margins, seed):
    student, teacher = batch(seed)
    narrow, wide = (losses.soften(create(name), m, mode)(student, teacher, LABELS) for m in sorted(margins))
    assert (wide <= narrow + 1e-12).all()
    assert wide.min() >= -1e-12


@settings(max_examples=20, deadline=None)
@given(name=st.sampled_from(NAMES), margin=st.floats(0.01, 3), seed=SEEDS)
def test_hinge_gradient_is_the_hard_one_or_none(name, margin, seed):
    value, hard = value_and_gradient(create(name), seed)
    _, soft = value_and_gradient(losses.soften(create(name), margin), seed)
    outside = (value > margin)[:, None]
    torch.testing.assert_close(soft, torch.where(outside, hard, 0.0), rtol=0, atol=0)


@settings(max_examples=20, deadline=None)
@given(name=st.sampled_from(NAMES), margin=MARGINS, beta=st.floats(1, 1e4))
def test_smooth_tends_to_the_hinge(name, margin, beta):
    student, teacher = batch()
    smooth = losses.soften(create(name), margin, "smooth", beta=beta)(student, teacher, LABELS)
    hinge = losses.soften(create(name), margin)(student, teacher, LABELS)
    assert (smooth - hinge).abs().max() <= math.log(2) / beta + 1e-9


def test_bounded_asks_no_more_than_the_teacher_reaches():
    hard = create("teacher_head")
    _, teacher = batch()
    assert hard(teacher, teacher, LABELS).min() > 0.01
    assert losses.soften(hard, 0.0, "bounded")(teacher, teacher, LABELS).abs().max() == 0


@settings(max_examples=40, deadline=None)
@given(angle=st.floats(0, math.pi), seed=SEEDS)
def test_cosine_and_squared_distance_hinges_are_one_loss(angle, seed):
    """½(d² − m²)₊ = (cos m_θ − cos θ)₊ with m = 2 sin(m_θ/2)."""
    student, teacher = batch(seed)
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
    student, teacher = batch()
    twice = losses.soften(soft, 0.25)(student, teacher)
    torch.testing.assert_close(twice, losses.soften(losses.create("l2"), 0.75)(student, teacher))
    values = losses.create("l2")(student, teacher)
    assert torch.equal(soft.soft(values, teacher), soft(student, teacher))


@pytest.mark.parametrize("mode", MODES)
def test_half_precision_and_detached_teacher(mode):
    student, teacher = (Outputs(*(x.bfloat16().requires_grad_() for x in side)) for side in batch())
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
