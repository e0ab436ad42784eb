"""Where numerics break: few samples or classes, zeros, copies, far-off and extreme inputs, and memory."""

import itertools
import subprocess
import sys

import pytest
import torch
from cases import (
    CASES,
    CONNECTED,
    CREATED,
    LABELS,
    OF_EMBEDDINGS,
    OF_LABELS,
    OF_LOGITS,
    SOFTENABLE,
    C,
    D,
    N,
    batch,
    create,
    gradients,
    take,
    trained,
    value_and_gradients,
)
from references import Contrast, Rows, rows

from xmkd_lib import losses
from xmkd_lib.errors import UserError
from xmkd_lib.outputs import Outputs

DTYPES = [torch.float32, torch.float64]


def assert_finite(case, student, teacher, labels=LABELS):
    """Value (N,) finite and not negative where it cannot be, gradients finite; returns both."""
    dtype = student.embedding.dtype
    loss = create(case, dtype)
    value, slopes = value_and_gradients(loss, student, teacher, labels)
    assert value.shape == (len(student.embedding),)
    assert value.dtype == dtype
    assert all(x.isfinite().all() for x in (value, *slopes))
    if loss.minimum == 0.0 and len(value):
        rounding = 3e-5 if dtype == torch.float32 else 1e-12  # of a KL divergence, times T²·β = 128 in dkd
        assert value.min() >= -rounding
    return value, slopes


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("size", [1, 2, 3])
def test_few_samples(case, size):
    student, teacher = (take(side, slice(size)) for side in batch(case, torch.float32))
    assert_finite(case, student, teacher, LABELS[:size])


@pytest.mark.parametrize("case", ["rkd_distance", "rkd_angle", "pkt", "sp", "infonce", "gram procrustes"])
def test_a_sample_alone_has_no_relations(case):
    """Nothing to compare, so nothing to pay; Procrustes turns the one vector onto the other."""
    student, teacher = (take(side, slice(1)) for side in batch(case, width=D))
    assert assert_finite(case, student, teacher, LABELS[:1])[0].abs().max() < 1e-12


@pytest.mark.parametrize("case", CASES)
def test_an_empty_batch_is_empty_or_refused(case):
    student, teacher = (take(side, slice(0)) for side in batch(case, torch.float32))
    refused = ""
    try:
        value, _ = assert_finite(case, student, teacher, LABELS[:0])
    except UserError as error:
        refused = str(error)
    assert f"'{case.split()[0]}'" in refused and "sample" in refused if refused else value.shape == (0,)


@pytest.mark.parametrize("first", ["no sample", "one sample", "one class"])
def test_crd_waits_for_negatives_before_it_fixes_z(first):
    """Z is a mean over negatives: a first batch that has none cannot give it."""
    loss, by_hand = create("crd", memory=0), Contrast(memory=0, temperature=CASES["crd"]["temperature"])
    student, teacher = batch("crd")
    size = {"no sample": 0, "one sample": 1, "one class": N}[first]
    loss(*(take(side, slice(size)) for side in (student, teacher)), LABELS.new_zeros(size))
    value = loss(student, teacher, LABELS)
    sides = [Rows(rows(side.embedding), []) for side in (student, teacher)]
    expected = torch.stack(by_hand(*sides, LABELS.tolist(), dict(loss.named_parameters())))
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("case", OF_LOGITS)
@pytest.mark.parametrize("classes", [2, 1])
def test_few_classes(case, classes):
    student, teacher = batch(case, torch.float32, classes=classes)
    labels = LABELS % classes
    if classes < CREATED[case].min_classes:
        with pytest.raises(UserError, match=f"'{case.split()[0]}'.*1 classes.*at least 2"):
            create(case)(student, teacher, labels)
        return
    value, _ = assert_finite(case, student, teacher, labels)
    if classes == 1:  # one class says nothing; a constant row or column on both sides counts 0
        assert value.abs().max() == 0


@pytest.mark.parametrize("case", ["dkd", "ntkl"])
def test_two_classes_leave_nothing_among_the_others(case):
    student, teacher = batch(case, classes=2)
    value, _ = assert_finite(case, student, teacher, LABELS % 2)
    binary = 0.0
    if case == "dkd":
        p, q = (torch.softmax(side.logits / 4, 1) for side in (teacher, student))
        binary = 16 * (p * (p / q).log()).sum(1)
    torch.testing.assert_close(value, torch.zeros(N, dtype=value.dtype) + binary)


def with_rows(side, indices, embedding=None, logits=None):
    """A copy with some rows set to a number or to another row."""
    z, scores = (x.clone() for x in side)
    for x, new in ((z, embedding), (scores, logits)):
        if new is not None:
            x[indices] = new
    return Outputs(z, scores)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("who", ["student", "teacher", "both"])
def test_zero_embeddings_and_constant_logits(case, who):
    for indices in ([1], list(range(N))):
        student, teacher = batch(case, torch.float32)
        if who != "teacher":
            student = with_rows(student, indices, embedding=0.0, logits=2.0)
        if who != "student":
            teacher = with_rows(teacher, indices, embedding=0.0, logits=2.0)
        assert_finite(case, student, teacher)


@pytest.mark.parametrize("case", CASES)
def test_gradient_at_zero_embeddings_and_constant_logits_is_of_ordinary_size(case):
    """A head that starts at zero has constant logits: the first step must not throw it to 1e7."""
    student, teacher = batch(case, torch.float32)
    _, usual = assert_finite(case, student, teacher)
    student = with_rows(student, list(range(N)), embedding=0.0, logits=0.0)
    _, slopes = assert_finite(case, student, teacher)
    assert max(x.abs().max() for x in slopes) < 100 * max(x.abs().max() for x in usual)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("who", ["student", "teacher", "both"])
def test_equal_rows(case, who):
    for indices, dtype in itertools.product(([1, 3], list(range(N))), DTYPES):
        student, teacher = batch(case, dtype)
        if who != "teacher":
            student = with_rows(student, indices, *(x[0] for x in student))
        if who != "student":
            teacher = with_rows(teacher, indices, *(x[0] for x in teacher))
        assert_finite(case, student, teacher)


@pytest.mark.parametrize("case", OF_LABELS)
def test_one_class_alone(case):
    assert_finite(case, *batch(case, torch.float32), LABELS.new_zeros(N))


@pytest.mark.parametrize("case", [case for case in CASES if case not in CONNECTED])
@pytest.mark.parametrize("dtype", DTYPES)
def test_student_equal_to_teacher_and_next_to_it(case, dtype):
    _, teacher = batch(case, dtype)
    for gap in (0.0, 1e-7, 1e-4):
        student = Outputs(*(x + gap * y.flip(0) for x, y in zip(teacher, teacher, strict=True)))
        assert_finite(case, student, teacher)


@pytest.mark.parametrize("case", OF_LOGITS)
@pytest.mark.parametrize("scale", [200.0, 2e4])
@pytest.mark.parametrize("classes", [2, C])
def test_extreme_logits(case, scale, classes):
    """Finite in float32, and the float64 value to its precision: no clamp cuts the value or its pull."""
    student, teacher = (
        side._replace(logits=side.logits * scale) for side in batch(case, torch.float32, classes=classes)
    )
    labels = LABELS % classes
    value, _ = assert_finite(case, student, teacher, labels)
    exact = create(case)(*(Outputs(*(x.double() for x in side)) for side in (student, teacher)), labels)
    torch.testing.assert_close(value.double(), exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", OF_LOGITS)
def test_the_largest_logits_of_half_precision(case):
    student, teacher = batch(case, torch.float16)
    student = with_rows(student, [0], logits=torch.tensor([65504.0, -65504, 0, 1, 2], dtype=torch.float16))
    value = create(case, torch.float32)(student, teacher, LABELS)
    assert value.isfinite().all()


OF_DISTANCES = ["rkd_distance", "rkd_angle"]


@pytest.mark.parametrize("case", OF_DISTANCES)
@pytest.mark.parametrize("offset", [1e2, 1e4])
def test_embeddings_far_from_the_origin(case, offset):
    """Value and gradient of float32 against float64 on the very same numbers, 1e4 away."""
    student, teacher = (
        side._replace(embedding=side.embedding + offset) for side in batch(case, torch.float32, width=D + 1)
    )
    found = []
    for dtype in DTYPES:
        near, far = (Outputs(*(x.to(dtype) for x in side)) for side in (student, teacher))
        z = near.embedding.clone().requires_grad_()
        value = create(case, dtype)(Outputs(z), far)
        found.append([value.detach().double(), *(x.double() for x in gradients(value.mean(), [z]))])
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", OF_EMBEDDINGS)
def test_embeddings_far_from_the_origin_stay_finite(case):
    student, teacher = (side._replace(embedding=side.embedding + 1e4) for side in batch(case, torch.float32))
    assert_finite(case, student, teacher)


@pytest.mark.parametrize("case", OF_EMBEDDINGS)
@pytest.mark.parametrize("scale", [1e-6, 1e4])
def test_short_and_long_embeddings(case, scale):
    """Finite and the float64 value; the gradient may be large, as that of a direction is at its origin."""
    student, teacher = (side._replace(embedding=side.embedding * scale) for side in batch(case, torch.float32))
    value, _ = assert_finite(case, student, teacher)
    exact = create(case)(*(Outputs(*(x.double() for x in side)) for side in (student, teacher)), LABELS)
    torch.testing.assert_close(value.double(), exact, rtol=1e-4, atol=1e-6 * exact.abs().max().item())


@pytest.mark.parametrize("case", SOFTENABLE)
@pytest.mark.parametrize("mode", ["hinge", "squared", "smooth"])
def test_a_margin_changes_nothing_about_that(case, mode):
    """The worst of the above at once: a zero row, a copied row, a constant row, extreme logits."""
    student, teacher = batch(case, torch.float32)
    student = with_rows(student, [1], embedding=0.0, logits=0.0)
    student = with_rows(student, [2], *(x[3] for x in student))
    student = student._replace(logits=student.logits * 200)
    loss = losses.soften(create(case, torch.float32), 0.1, mode)
    student = Outputs(*(x.requires_grad_() for x in student))
    value = loss(student, teacher, LABELS)
    assert value.isfinite().all()
    assert all(slope.isfinite().all() for slope in gradients(value.sum(), trained(loss.loss, student)))


MEMORY = """
import resource, torch
from xmkd_lib import losses
from xmkd_lib.outputs import Outputs
torch.set_num_threads(1)
loss = losses.create("rkd_angle")
def step(n, d):
    z = torch.randn(n, d, requires_grad=True)
    loss(Outputs(z), Outputs(torch.randn(n, d))).mean().backward()
    assert z.grad.isfinite().all()
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
step(4, 256)
before = peak()
step(512, 256)
print((peak() - before) * 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss is a system's own")
def test_memory_of_angles_is_not_cubic():
    """At N = 512: less than one block of N³ float32 numbers, let alone the N²·D differences of all pairs on top."""
    found = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, timeout=300, check=False)
    assert float(found.stdout) < 4 * 512**3, found.stderr
