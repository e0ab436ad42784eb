"""Values and gradients of the losses against plain loops in float64, and at the places where numerics break."""

import math

import pytest
import torch
from torch import nn

from xmkd_lib import losses
from xmkd_lib.outputs import Outputs

N, D, C, SCALE, T = 5, 4, 3, 8.0, 3.0


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


W = draw(C, D, seed=9)
LABELS = torch.tensor([0, 2, 1, 1, 0])
CREATE = {
    "l2": dict(),
    "l2 as it is": dict(normalise=False),
    "cosine": dict(),
    "angular": dict(),
    "kd": dict(temperature=T),
    "teacher_head": dict(weight=W, scale=SCALE),
}


def create(case):
    return losses.create(case.split()[0], **CREATE[case])


def batch(dtype=torch.float64):
    student = Outputs(draw(N, D, seed=1).to(dtype), draw(N, C, seed=2).to(dtype))
    teacher = Outputs(draw(N, D, seed=3).to(dtype), draw(N, C, seed=4).to(dtype))
    return student, teacher


# The references work on lists of floats, one sample at a time.
def scaled(v):
    length = math.sqrt(sum(x * x for x in v))
    return [x / length for x in v]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def probabilities(logits, temperature=1.0):
    exps = [math.exp(x / temperature) for x in logits]
    return [e / sum(exps) for e in exps]


def ref_kd(s, t):
    p, q = probabilities(t, T), probabilities(s, T)
    return T * T * sum(a * (math.log(a) - math.log(b)) for a, b in zip(p, q, strict=True))


def ref_teacher_head(s, y):
    return -math.log(probabilities([SCALE * dot(scaled(w), scaled(s)) for w in W.tolist()])[y])


REFERENCE = {
    "l2": lambda s, t, ls, lt, y: sum((a - b) ** 2 for a, b in zip(scaled(s), scaled(t), strict=True)),
    "l2 as it is": lambda s, t, ls, lt, y: sum((a - b) ** 2 for a, b in zip(s, t, strict=True)),
    "cosine": lambda s, t, ls, lt, y: 1 - dot(scaled(s), scaled(t)),
    "angular": lambda s, t, ls, lt, y: math.acos(dot(scaled(s), scaled(t))),
    "kd": lambda s, t, ls, lt, y: ref_kd(ls, lt),
    "teacher_head": lambda s, t, ls, lt, y: ref_teacher_head(s, y),
}


def reference(case, student, teacher):
    rows = zip(*(x.tolist() for x in (*student[:1], *teacher[:1], student[1], teacher[1], LABELS)), strict=True)
    return torch.tensor([REFERENCE[case](*row) for row in rows], dtype=torch.float64)


def reference_gradient(case, student, teacher, field, h=1e-3):
    """Central differences of the reference's sum, extrapolated to fourth and sixth order."""
    x = getattr(student, field)
    grad = torch.zeros_like(x)
    for index in range(x.numel()):

        def slope(step, index=index):
            values = []
            for sign in (1, -1):
                moved = x.clone()
                moved.view(-1)[index] += sign * step
                values.append(reference(case, student._replace(**{field: moved}), teacher).sum())
            return (values[0] - values[1]) / (2 * step)

        first, second, third = slope(h), slope(h / 2), slope(h / 4)
        a, b = (4 * second - first) / 3, (4 * third - second) / 3
        grad.view(-1)[index] = (16 * b - a) / 15
    return grad


@pytest.mark.parametrize("case", CREATE)
def test_value_and_gradient_equal_the_plain_loop(case):
    student, teacher = batch()
    field = create(case).reads[0]
    x = getattr(student, field).requires_grad_()
    value = create(case)(student, teacher, LABELS)
    value.sum().backward()
    assert value.shape == (N,)
    with torch.no_grad():
        torch.testing.assert_close(value, reference(case, student, teacher), rtol=0, atol=1e-9)
        expected = reference_gradient(case, student, teacher, field)
    torch.testing.assert_close(x.grad, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("case", CREATE)
def test_gradcheck(case):
    student, teacher = batch()
    loss = create(case)

    def value(z, logits):
        return loss(Outputs(z, logits), teacher, LABELS)

    assert torch.autograd.gradcheck(value, [x.requires_grad_() for x in student])


@pytest.mark.parametrize("case", CREATE)
def test_teacher_receives_no_gradient_and_student_does(case):
    student, teacher = batch()
    for x in (*student, *teacher):
        x.requires_grad_()
    loss = create(case)
    loss(student, teacher, LABELS).sum().backward()
    assert all(x.grad is None for x in teacher)
    assert getattr(student, loss.reads[0]).grad.abs().sum() > 0
    assert not list(loss.parameters())


@pytest.mark.parametrize("case", CREATE)
def test_samples_do_not_mix_and_one_sample_is_enough(case):
    student, teacher = batch()
    loss = create(case)
    whole = loss(student, teacher, LABELS)
    for i in range(N):
        one = loss(
            Outputs(*(x[i : i + 1] for x in student)), Outputs(*(x[i : i + 1] for x in teacher)), LABELS[i : i + 1]
        )
        torch.testing.assert_close(one, whole[i : i + 1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("case", CREATE)
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float16, 0.02), (torch.bfloat16, 0.15)])
def test_half_precision_computes_in_float32(case, dtype, bound):
    """Exactly the float32 loss of the rounded inputs; within the rounding's reach of the float64 one."""
    student, teacher = batch(dtype)
    value = create(case)(student, teacher, LABELS)
    assert value.dtype == torch.float32
    rounded = [Outputs(*(x.float() for x in side)) for side in (student, teacher)]
    assert torch.equal(value, create(case)(*rounded, LABELS))
    torch.testing.assert_close(value.double(), create(case)(*batch(), LABELS), rtol=bound, atol=bound)


@pytest.mark.parametrize("case", CREATE)
def test_autocast_changes_nothing(case):
    student, teacher = batch(torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = create(case)(student, teacher, LABELS)
    assert torch.equal(inside, create(case)(student, teacher, LABELS))


@pytest.mark.parametrize("case", CREATE)
@pytest.mark.parametrize("zero", ["student", "teacher", "both"])
def test_zero_rows_stay_finite(case, zero):
    student, teacher = batch(torch.float32)
    if zero in ("student", "both"):
        student = Outputs(*(x.clone().index_fill_(0, torch.tensor([1]), 0) for x in student))
    if zero in ("teacher", "both"):
        teacher = Outputs(*(x.clone().index_fill_(0, torch.tensor([1]), 0) for x in teacher))
    x = getattr(student, create(case).reads[0]).requires_grad_()
    value = create(case)(student, teacher, LABELS)
    value.sum().backward()
    assert value.isfinite().all()
    assert x.grad.isfinite().all()
    assert x.grad.abs().max() < 100


@pytest.mark.parametrize("case", ["l2", "l2 as it is", "cosine", "angular", "kd"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_student_equal_to_teacher_costs_nothing(case, dtype):
    _, teacher = batch(dtype)
    student = Outputs(*(x.clone().requires_grad_() for x in teacher))
    value = create(case)(student, teacher, LABELS)
    value.sum().backward()
    gradient = getattr(student, create(case).reads[0]).grad
    assert torch.equal(value, torch.zeros(N, dtype=dtype))
    assert gradient.abs().max() < 1e-6


def test_angle_at_its_kinks_and_next_to_them():
    b = torch.nn.functional.normalize(draw(1, 3), dim=1)
    across = torch.nn.functional.normalize(torch.linalg.cross(b, draw(1, 3, seed=1)), dim=1)
    for theta in (0.0, 1e-12, 1e-6, 1.0, math.pi - 1e-6, math.pi - 1e-12, math.pi):
        a = (math.cos(theta) * b + math.sin(theta) * across).requires_grad_()
        value = losses.create("angular")(Outputs(a), Outputs(b))
        value.sum().backward()
        torch.testing.assert_close(value.item(), theta, rtol=1e-4, atol=1e-14)
        assert a.grad.isfinite().all()
        assert a.grad.norm() < 1 + 1e-6  # the angle of unit vectors changes no faster than the vector turns
    for a in (b, -b):
        z = a.clone().requires_grad_()
        losses.create("angular")(Outputs(z), Outputs(b)).sum().backward()
        assert z.grad.abs().max() == 0


def test_ranges_on_the_unit_sphere():
    a = torch.tensor([[1.0, 0.0], [-3.0, 0.0], [0.0, 1.0]])
    b = torch.tensor([[2.0, 0.0]] * 3)
    values = {name: losses.create(name)(Outputs(a), Outputs(b)) for name in ("l2", "cosine", "angular")}
    torch.testing.assert_close(values["l2"], torch.tensor([0.0, 4.0, 2.0]))
    torch.testing.assert_close(values["cosine"], torch.tensor([0.0, 2.0, 1.0]))
    torch.testing.assert_close(values["angular"], torch.tensor([0.0, math.pi, math.pi / 2]))


@pytest.mark.parametrize("field_scale", [200.0, 2e4])
def test_extreme_logits_and_two_classes(field_scale):
    s, t = (torch.randn(4, 2, generator=torch.Generator().manual_seed(i)) * field_scale for i in (0, 1))
    s.requires_grad_()
    value = losses.create("kd", temperature=1.0)(Outputs(s, s), Outputs(t, t))
    value.sum().backward()
    assert value.isfinite().all()
    assert s.grad.isfinite().all()
    assert value.min() > -1e-6


def test_kd_contains_the_squared_temperature():
    """For large T the loss tends to half the squared distance of centred logits, over C, whatever T."""
    student, teacher = batch()
    gap = (student.logits - student.logits.mean(1, keepdim=True)) - (
        teacher.logits - teacher.logits.mean(1, keepdim=True)
    )
    limit = gap.square().sum(1) / (2 * C)
    torch.testing.assert_close(losses.create("kd", temperature=1e4)(student, teacher), limit, rtol=1e-3, atol=1e-6)


def test_teacher_head_has_zero_for_infimum():
    head = losses.create("teacher_head", weight=torch.eye(3), scale=200.0)
    assert head.minimum == 0.0
    z = Outputs(torch.eye(3))
    assert 0 <= head(z, z, torch.arange(3)).max() < 1e-6


def test_teacher_head_freezes_its_own_copy():
    layer = nn.Linear(D, C, bias=False)
    head = losses.create("teacher_head", weight=layer.weight)
    before = head.weight.clone()
    with torch.no_grad():
        layer.weight.add_(1.0)
    assert torch.equal(head.weight, before)
    assert not head.weight.requires_grad
    torch.testing.assert_close(head.weight.norm(dim=1), torch.ones(C))
    assert "weight" in head.state_dict()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("case", CREATE)
def test_same_on_the_gpu(case):
    student, teacher = batch()
    on_gpu = [Outputs(*(x.cuda() for x in side)) for side in (student, teacher)]
    value = create(case).cuda()(*on_gpu, LABELS.cuda())
    torch.testing.assert_close(value.cpu(), create(case)(student, teacher, LABELS), rtol=1e-9, atol=1e-9)
