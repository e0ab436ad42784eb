"""Values and gradients of all losses against plain loops over float64 scalars."""

import math

import pytest
import torch
from cases import (
    CASES,
    CONNECTED,
    LABELS,
    NAMES,
    OF_ANY_WIDTH,
    C,
    D,
    batch,
    create,
    draw,
    gradients,
    take,
    trained,
)
from references import REFERENCES, Contrast, Rows, reference, rows

from xmkd_lib import losses
from xmkd_lib.outputs import Outputs

ALL = """l2 distance cosine angular hint teacher_head kd dkd nkd dist logit_margin rank centres wsld mlld
rkd_distance rkd_angle sp cc pkt vid infonce crd simkd srrl ntkl fd gram"""
ROW_WEIGHTS = draw(6, seed=50)  # so that a gradient put down to the wrong row is seen


def references_parameters(case, loss):
    """What the reference gets: the case's settings, and the loss's own layers as they are."""
    params = {key: value for key, value in CASES[case].items() if key not in ("student_dim", "teacher_dim", "dim")}
    if hasattr(loss, "student_weight"):
        params["student_weight"] = loss.student_weight
    return {**params, "own": dict(loss.named_parameters())}


def assert_equal_to_the_plain_loop(case, loss, student, teacher):
    student = Outputs(*(x.requires_grad_() for x in student))
    value = loss(student, teacher, LABELS)
    expected = reference(case.split()[0], student, teacher, LABELS, **references_parameters(case, loss))
    torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-9)
    leaves = trained(loss, student)
    found, wanted = (gradients(x @ ROW_WEIGHTS, leaves) for x in (value, expected))
    assert any(gradient.abs().max() > 1e-6 for gradient in found)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-10)


def test_names_are_those_of_the_design():
    assert losses.names() == sorted(ALL.split()) == NAMES == sorted(REFERENCES)


@pytest.mark.parametrize("case", CASES)
def test_value_and_gradient_equal_the_plain_loop(case):
    assert_equal_to_the_plain_loop(case, create(case), *batch(case))


@pytest.mark.parametrize("case", OF_ANY_WIDTH)
def test_a_wider_student_has_the_same_formula(case):
    assert_equal_to_the_plain_loop(case, create(case), *batch(case, width=D + 1))


@pytest.mark.parametrize("case", CONNECTED)
def test_own_layers_take_a_wider_student(case):
    assert_equal_to_the_plain_loop(case, create(case, student_dim=D + 1), *batch(case, width=D + 1))


@pytest.mark.parametrize("case", ["rkd_distance", "rkd_angle"])
def test_huber_is_linear_for_large_differences(case):
    """A far-off sample on each side, not the same: relative distances differ by more than 1."""
    student, teacher = batch(case)
    student.embedding[1] *= 50
    teacher.embedding[4] *= 50
    assert_equal_to_the_plain_loop(case, create(case), student, teacher)


@pytest.mark.parametrize("case", ["rkd_distance", "rkd_angle"])
def test_duplicates_are_at_no_distance(case):
    """Two equal rows on both sides, two more on one side alone."""
    student, teacher = batch(case)
    for side, pairs in ((student, [(1, 3), (4, 5)]), (teacher, [(1, 3), (0, 2)])):
        for i, j in pairs:
            side.embedding[i] = side.embedding[j]
    assert_equal_to_the_plain_loop(case, create(case), student, teacher)


def test_dist_where_there_is_no_correlation():
    """A constant row counts ½, or 0 if constant on both sides; columns are constant for one sample alone."""
    flat, slope = torch.zeros(1, 3, dtype=torch.float64), torch.tensor([[2.0, 0, 1]], dtype=torch.float64)
    for a, b, row in ((flat, slope, 0.5), (slope, flat, 0.5), (flat, flat, 0.0), (slope, 5 * slope, None)):
        value = losses.create("dist", beta=3.0)(Outputs(a, a), Outputs(b, b)).item()
        if row is None:
            p, q = torch.softmax(a, 1), torch.softmax(b, 1)
            row = 1 - torch.corrcoef(torch.cat([p, q]))[0, 1].item()
        assert value == pytest.approx(3 * row, abs=1e-12)


@pytest.mark.parametrize("case", ["pkt", "pkt code"])
def test_pkt_of_opposite_vectors(case):
    """Their kernel is 0: the least probability of 1e-7 keeps the logarithm finite."""
    far = Outputs(torch.tensor([[1.0, 0], [-1.0, 0], [-1.0, 0]], requires_grad=True, dtype=torch.float64))
    near = Outputs(torch.tensor([[1.0, 0], [1.0, 0], [-1.0, 0]], dtype=torch.float64))
    value = create(case)(far, near)
    assert value.isfinite().all()
    assert value.max() > 1
    assert gradients(value.sum(), [far.embedding])[0].isfinite().all()


@pytest.mark.parametrize(("width", "cut"), [(4, 0.5), (5, 0.5), (5, 0.8), (8, 0.5), (7, 0.0), (6, 1.0), (1, 0.5)])
def test_fd_at_odd_and_even_widths(width, cut):
    student, teacher = draw(6, width, seed=1).requires_grad_(), draw(6, width, seed=2)
    if width == 1:  # nothing is left of one number that is standardised
        assert losses.create("fd", cut=cut)(Outputs(student), Outputs(teacher)).abs().max() == 0
        return
    value = losses.create("fd", cut=cut)(Outputs(student), Outputs(teacher))
    expected = torch.stack(REFERENCES["fd"](Rows(rows(student), []), Rows(rows(teacher), []), None, cut=cut))
    torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-9)
    found, wanted = (gradients(x @ ROW_WEIGHTS, [student]) for x in (value, expected))
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("k", [2, 4, 5, 50])
@pytest.mark.parametrize("gap", [0.0, 2.0])
def test_rank_of_any_depth(k, gap):
    student, teacher = batch("rank")
    value = losses.create("rank", k=k, gap=gap)(student, teacher)
    torch.testing.assert_close(value, reference("rank", student, teacher, LABELS, k=k, gap=gap), rtol=0, atol=1e-12)


def test_rank_leaves_ties_of_the_teacher_out():
    student, teacher = batch("rank")
    tied = teacher._replace(logits=(2 * teacher.logits).round() / 2)
    assert any(len(row.unique()) < C for row in tied.logits)
    value = losses.create("rank", k=C)(student, tied)
    torch.testing.assert_close(value, reference("rank", student, tied, LABELS, k=C), rtol=0, atol=1e-12)


@pytest.mark.parametrize("temperatures", [(1.0,), (0.5, 9), [2.0, 3.0, 4.0, 5.0, 6.0]])
def test_mlld_sums_over_its_temperatures(temperatures):
    student, teacher = batch("mlld")
    value = losses.create("mlld", temperatures=temperatures)(student, teacher)
    expected = reference("mlld", student, teacher, LABELS, temperatures=temperatures)
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-12)


def test_ntkl_leaves_out_samples_whose_order_disagrees():
    """Threshold by threshold, and with ties among the teacher's logits."""
    student, teacher = batch("ntkl")
    teacher = teacher._replace(logits=(2 * teacher.logits).round() / 2)
    active = []
    for threshold in (-1.0, -0.4, 0.0, 0.4, 1.0):
        value = losses.create("ntkl", threshold=threshold)(student, teacher, LABELS)
        expected = reference("ntkl", student, teacher, LABELS, threshold=threshold)
        torch.testing.assert_close(value, expected, rtol=0, atol=1e-12)
        active.append((value > 0).sum().item())
    assert len(set(active)) > 2
    assert active == sorted(active, reverse=True)


def test_ntkl_asks_for_more_than_its_threshold():
    _, teacher = batch("ntkl")
    student = Outputs(teacher.embedding, 2 * teacher.logits)  # the same order: τ = 1
    assert losses.create("ntkl", threshold=0.99)(student, teacher, LABELS).min() > 0
    assert losses.create("ntkl", threshold=1.0)(student, teacher, LABELS).max() == 0


@pytest.mark.parametrize("memory", [0, 4, 8, 100])
def test_crd_remembers_the_batches_before(memory):
    """Four batches, the memory being longer, shorter and none: in training mode alone, and Z from the first batch."""
    loss = create("crd", memory=memory)
    by_hand = Contrast(memory, CASES["crd"]["temperature"])
    own = dict(loss.named_parameters())
    for seed in range(4):
        student, teacher = batch("crd", seed=seed)
        labels = LABELS.roll(seed)
        student = Outputs(*(x.requires_grad_() for x in student))
        loss.eval()
        looked = [loss(student, teacher, labels) for _ in range(2)]
        with torch.no_grad():
            loss.train()(student, teacher, labels)
        value = loss(student, teacher, labels)
        sides = [Rows(rows(side.embedding), []) for side in (student, teacher)]
        expected = torch.stack(by_hand(*sides, labels.tolist(), own))
        for found in (*looked, value):
            torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
        leaves = [student.embedding, *own.values()]
        found, wanted = (gradients(x @ ROW_WEIGHTS, leaves) for x in (value, expected))
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


def test_crd_goes_on_from_its_saved_state():
    first = create("crd")
    first(*batch("crd", seed=1), LABELS)
    second = create("crd")
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(*batch("crd"), LABELS), second(*batch("crd"), LABELS))


CONSTANT_PARTS = ("wsld",)  # detaches a weight that depends on the student: its gradient is not that of its value
EXACT_FOR_THE_MEAN = ("gram procrustes",)


@pytest.mark.parametrize("case", [case for case in CASES if case not in CONSTANT_PARTS])
def test_gradcheck(case):
    loss = create(case)
    student, teacher = batch(case)
    if case == "crd":
        loss(student, teacher, LABELS)  # fixes Z, as a constant
        loss.eval()
    leaves = [x.requires_grad_() for x in trained(loss, student)]

    def value(*_):  # the leaves are changed in place
        found = loss(student, teacher, LABELS)
        return found.mean() if case in EXACT_FOR_THE_MEAN else found

    assert torch.autograd.gradcheck(value, leaves, atol=1e-6)


@pytest.mark.parametrize("width", [D - 1, D, D + 1])
def test_procrustes_gradient_is_exact_for_the_mean_at_any_width(width):
    student, teacher = batch("gram procrustes", width=width)
    loss = create("gram procrustes")
    z = student.embedding.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: loss(Outputs(z), teacher).mean(), [z], atol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_what_is_trained_gets_a_gradient_and_the_teacher_none(case):
    loss = create(case)
    student, teacher = batch(case)
    for x in (*student, *teacher):
        x.requires_grad_()
    loss(student, teacher, LABELS).sum().backward()
    assert all(x.grad is None for x in teacher)
    for field in Outputs._fields:
        gradient = getattr(student, field).grad
        assert gradient is None if field not in loss.reads else gradient.abs().sum() > 0
    assert all(x.grad.abs().sum() > 0 for x in trained(loss, student)[2:])
    assert not any(buffer.requires_grad for buffer in loss.buffers())


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


def test_temperature_squared_is_part_of_the_classifier_losses():
    """For large T, T² KL tends to half the squared distance of the centred logits, over C, whatever T is."""
    student, teacher = batch("kd")
    gap = student.logits - teacher.logits
    limit = gap.var(1, correction=0) / 2
    for temperature in (1e4, 3e4):
        kd = losses.create("kd", temperature=temperature)(student, teacher)
        torch.testing.assert_close(kd, limit, rtol=1e-3, atol=1e-6)
    others = torch.stack([row[torch.arange(C) != y] for row, y in zip(gap, LABELS, strict=True)])
    ntkl = losses.create("ntkl", temperature=1e4, threshold=-1.0)(student, teacher, LABELS)
    active = ntkl != 0
    torch.testing.assert_close(ntkl[active], (others.var(1, correction=0) / 2)[active], rtol=1e-3, atol=1e-6)


def test_dkd_is_kd_for_one_weight_of_the_others():
    """KL over all classes = KL of (p_y, 1 − p_y) + (1 − p_t,y)·KL over the others."""
    student, teacher = batch("dkd")
    for i, y in enumerate(LABELS):
        others = 1 - torch.softmax(teacher.logits[i] / 4, 0)[y].item()
        dkd = losses.create("dkd", beta=others)(take(student, [i]), take(teacher, [i]), LABELS[[i]])
        kd = losses.create("kd")(take(student, [i]), take(teacher, [i]))
        torch.testing.assert_close(dkd, kd, rtol=0, atol=1e-12)


def test_fd_with_all_frequencies_low_is_the_error_of_standardised_rows():
    student, teacher = batch("fd")
    z_s, z_t = ((z - z.mean(1, keepdim=True)) / z.std(1, correction=0, keepdim=True) for z, _ in (student, teacher))
    value = losses.create("fd", cut=1.0)(student, teacher)
    torch.testing.assert_close(value, (z_s - z_t).square().mean(1), rtol=0, atol=1e-12)


def test_vid_starts_at_the_published_variance():
    loss = create("vid")
    student, teacher = batch("vid")
    gap = teacher.embedding - loss.connector(student.embedding)
    expected = (math.log(5.0) + gap.square() / 5.0).mean(1) / 2
    torch.testing.assert_close(loss(student, teacher), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("case", CASES)
def test_same_on_the_gpu(case):
    values, slopes = [], []
    for device in ("cpu", "cuda"):
        loss = create(case).to(device)
        if hasattr(loss, "student_weight"):
            loss.student_weight = loss.student_weight.detach().to(device).requires_grad_()
        student, teacher = (Outputs(*(x.to(device) for x in side)) for side in batch(case))
        leaves = [x.requires_grad_() for x in trained(loss, student)]
        value = loss(student, teacher, LABELS.to(device))
        values.append(value.detach().cpu())
        slopes.append([x.cpu() for x in gradients(value @ ROW_WEIGHTS.to(device), leaves)])
    torch.testing.assert_close(*values, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(*slopes, rtol=1e-9, atol=1e-9)
