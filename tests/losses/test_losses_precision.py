"""Single and half precision against float64, value and gradient, inside and outside autocast."""

import pytest
import torch
from cases import CASES, LABELS, SOFTENABLE, batch, create, gradients, trained, value_and_gradients

from xmkd_lib import losses
from xmkd_lib.outputs import Outputs

# Largest error of float32, as a share of the batch's largest value or gradient: some roundings of 6e-8 each. More where
# the value is what large terms leave, as in T²·KL.
FLOAT32 = 1e-6
CANCELLING = dict.fromkeys(("kd", "dkd", "wsld", "mlld", "pkt", "pkt code"), 5e-6)
# Largest change of the value by rounding the inputs to half precision, in units of one rounding.
ROUNDINGS = 2
HALF = [(torch.float16, 2**-11), (torch.bfloat16, 2**-8)]
SEEDS = range(3)


def to(side, dtype):
    return Outputs(*(x.to(dtype) for x in side))


def relative_error(found, wanted):
    """Largest difference, in units of the largest value; 0 where nothing is wanted nor found."""
    wanted, found = wanted.double(), found.double()
    return ((found - wanted).abs().max() / wanted.abs().max().clamp_min(1e-3)).item()


def errors(case, student, teacher, dtype=torch.float32):
    """Relative errors of the value and of each gradient of the loss in float32, its inputs being of `dtype`."""
    wanted = value_and_gradients(create(case), *(to(to(x, dtype), torch.float64) for x in (student, teacher)), LABELS)
    found = value_and_gradients(create(case, torch.float32), to(student, dtype), to(teacher, dtype), LABELS)
    assert found[0].dtype == torch.float32
    assert all(g.dtype == dtype for g in found[1][:2])
    return [relative_error(f, w) for f, w in zip([found[0], *found[1]], [wanted[0], *wanted[1]], strict=True)]


@pytest.mark.parametrize("case", CASES)
def test_float32(case):
    for seed in SEEDS:
        assert max(errors(case, *batch(case, seed=seed))) < CANCELLING.get(case, FLOAT32)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("dtype", "rounding"), HALF)
def test_half_precision_inputs_are_computed_in_float32(case, dtype, rounding):
    """Only the inputs and the inputs' gradients are rounded: nothing in between."""
    bound = CANCELLING.get(case, FLOAT32)
    for seed in SEEDS:
        value, *slopes = errors(case, *batch(case, seed=seed), dtype)
        assert value < bound
        assert max(slopes) < rounding + bound


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("dtype", "rounding"), HALF)
def test_half_precision_inputs_stay_near_the_float64_loss(case, dtype, rounding):
    for seed in SEEDS:
        student, teacher = batch(case, seed=seed)
        value = create(case, torch.float32)(to(student, dtype), to(teacher, dtype), LABELS)
        error = relative_error(value, create(case)(student, teacher, LABELS))
        assert error < ROUNDINGS * rounding


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_changes_nothing(case, dtype):
    """Value and gradient to the last bit; as usual, the gradient is taken outside."""
    found = []
    for enabled in (False, True):
        student, teacher = (to(side, dtype) for side in batch(case))
        loss = create(case, torch.float32)
        leaves = [x.requires_grad_() for x in trained(loss, student)]
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            value = loss(student, teacher, LABELS)
        found.append([value.detach(), *gradients(value.sum(), leaves)])
    assert all(map(torch.equal, *found))


@pytest.mark.parametrize("case", SOFTENABLE)
def test_autocast_changes_nothing_under_a_margin(case):
    student, teacher = (to(side, torch.bfloat16) for side in batch(case))
    soft = losses.soften(create(case, torch.float32), 0.01)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = soft(student, teacher, LABELS)
    assert torch.equal(inside, soft(student, teacher, LABELS))


@pytest.mark.parametrize("case", CASES)
def test_student_in_half_and_teacher_in_single_precision(case):
    student, teacher = batch(case)
    student, teacher = to(student, torch.bfloat16), to(teacher, torch.float32)
    value = create(case, torch.float32)(student, teacher, LABELS)
    assert torch.equal(value, create(case, torch.float32)(to(student, torch.float32), teacher, LABELS))
