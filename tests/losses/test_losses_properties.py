"""What must hold for any batch: order of samples, blindness to rotation and scale, published scalars, minima."""

import pytest
import torch
from cases import (
    ALONE,
    CASES,
    CONNECTED,
    CREATED,
    LABELS,
    OF_ANY_WIDTH,
    OF_EMBEDDINGS,
    OF_LOGITS,
    RELATIONAL,
    SOFTENABLE,
    WEIGHT,
    C,
    D,
    N,
    batch,
    create,
    draw,
    take,
    value_and_gradients,
)
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from xmkd_lib import losses
from xmkd_lib.errors import UserError
from xmkd_lib.outputs import Outputs

SEEDS = st.integers(0, 10_000)
few = settings(max_examples=4, deadline=None, derandomize=True, phases=[Phase.generate])  # a seed has no smaller one


def assert_same(found, wanted, atol=1e-9):
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=atol)


def values(case, student, teacher, labels=LABELS):
    return create(case)(student, teacher, labels).detach()


def rotation(width, seed):
    return torch.linalg.qr(draw(width, width, seed=seed)).Q


def turned(side, q):
    return side._replace(embedding=side.embedding @ q)


@pytest.mark.parametrize("case", CASES)
@few
@given(seed=SEEDS, order=st.permutations(range(N)))
def test_values_follow_the_order_of_the_samples(case, seed, order):
    student, teacher = batch(case, seed=seed)
    shuffled = values(case, take(student, order), take(teacher, order), LABELS[order])
    assert_same(shuffled, values(case, student, teacher)[order])


@pytest.mark.parametrize(
    "case", ["rkd_distance", "rkd_angle", "sp", "cc", "pkt", "pkt code", "gram", "gram procrustes"]
)
@few
@given(seed=SEEDS)
def test_relations_are_blind_to_a_rotation_of_either_side(case, seed):
    student, teacher = batch(case, seed=seed)
    wanted = values(case, student, teacher)
    assert_same(values(case, turned(student, rotation(student.embedding.shape[1], seed)), teacher), wanted)
    assert_same(values(case, student, turned(teacher, rotation(D, seed))), wanted)


JOINT = ["l2", "l2 as it is", "distance", "distance as it is", "cosine", "angular", "hint", "infonce"]


@pytest.mark.parametrize("case", [*JOINT, "infonce symmetric"])
@few
@given(seed=SEEDS)
def test_distances_are_blind_to_a_rotation_of_both_sides_only(case, seed):
    student, teacher = batch(case, seed=seed)
    q = rotation(D, seed)
    wanted = values(case, student, teacher)
    assert_same(values(case, turned(student, q), turned(teacher, q)), wanted)
    assert (values(case, turned(student, q), teacher) - wanted).abs().max() > 1e-3


OF_DIRECTIONS = [case for case in OF_EMBEDDINGS if CREATED[case].normalise]


def test_losses_of_directions_are_marked():
    named = "l2 distance cosine angular teacher_head infonce pkt gram"
    assert {case.split()[0] for case in OF_DIRECTIONS} == set(named.split())
    assert not {"l2 as it is", "distance as it is"} & set(OF_DIRECTIONS)


@pytest.mark.parametrize("case", OF_DIRECTIONS)
@few
@given(seed=SEEDS)
def test_losses_of_directions_are_blind_to_lengths(case, seed):
    student, teacher = batch(case, seed=seed)
    wanted = values(case, student, teacher)
    lengths = draw(N, 1, seed=seed).exp()
    assert_same(values(case, student._replace(embedding=student.embedding * lengths), teacher), wanted)
    assert_same(values(case, student, teacher._replace(embedding=teacher.embedding * lengths)), wanted)


@pytest.mark.parametrize("case", [case for case in OF_EMBEDDINGS if case not in OF_DIRECTIONS])
def test_other_losses_see_lengths(case):
    student, teacher = batch(case)
    longer = student._replace(embedding=student.embedding * draw(N, 1, seed=60).exp())
    if case.startswith("fd"):
        assert_same(values(case, longer, teacher), values(case, student, teacher))
    else:
        assert (values(case, longer, teacher) - values(case, student, teacher)).abs().max() > 1e-3


@pytest.mark.parametrize(("case", "shift"), [("rkd_distance", 3.0), ("rkd_angle", 3.0), ("sp", 0.0)])
@few
@given(seed=SEEDS, scale=st.sampled_from([0.01, 5.0, -1.0, 300.0]))
def test_relations_blind_to_scale_and_shift(case, shift, seed, scale):
    student, teacher = batch(case, seed=seed)
    wanted = values(case, student, teacher)
    for sides in ((0, 1), (1, 0)):
        moved = [
            side._replace(embedding=side.embedding * scale + shift * scale) if moves else side
            for side, moves in zip((student, teacher), sides, strict=True)
        ]
        assert_same(values(case, *moved), wanted)


@pytest.mark.parametrize("case", ["fd", "fd low"])
@few
@given(seed=SEEDS)
def test_fd_standardises_each_row(case, seed):
    student, teacher = batch(case, seed=seed)
    moved = student.embedding * draw(N, 1, seed=seed).exp() + draw(N, 1, seed=seed + 1)
    assert_same(values(case, student._replace(embedding=moved), teacher), values(case, student, teacher))


@pytest.mark.parametrize("case", OF_LOGITS)
@few
@given(seed=SEEDS)
def test_a_shift_of_all_logits_means_nothing(case, seed):
    student, teacher = batch(case, seed=seed)
    shift = 10 * draw(N, 1, seed=seed)
    wanted = values(case, student, teacher)
    assert_same(values(case, student._replace(logits=student.logits + shift), teacher), wanted)
    assert_same(values(case, student, teacher._replace(logits=teacher.logits + shift)), wanted)


@pytest.mark.parametrize("case", ["logit_margin", "logit_margin wide"])
@few
@given(seed=SEEDS)
def test_logit_margin_is_blind_to_scale(case, seed):
    student, teacher = batch(case, seed=seed)
    scale = draw(N, 1, seed=seed).exp()
    wanted = values(case, student, teacher)
    assert_same(values(case, student._replace(logits=student.logits * scale), teacher), wanted)
    assert_same(values(case, student, teacher._replace(logits=teacher.logits * scale)), wanted)


@pytest.mark.parametrize("case", ["rank", "rank of three"])
@few
@given(seed=SEEDS)
def test_rank_sees_the_order_of_the_teacher_alone(case, seed):
    student, teacher = batch(case, seed=seed)
    bent = teacher._replace(logits=teacher.logits**3 + teacher.logits.exp())
    assert torch.equal(values(case, student, bent), values(case, student, teacher))


@pytest.mark.parametrize("case", CASES)
@few
@given(seed=SEEDS)
def test_only_what_a_loss_reads_matters(case, seed):
    student, teacher = batch(case, seed=seed)
    unread = set(Outputs._fields) - set(CREATED[case].reads)
    noise = {field: torch.full_like(getattr(student, field), float("nan")) for field in unread}
    other = {field: torch.full_like(getattr(teacher, field), float("nan")) for field in unread}
    read = values(case, student._replace(**noise), teacher._replace(**other))
    assert torch.equal(read, values(case, student, teacher))
    if not CREATED[case].needs_labels:
        assert torch.equal(values(case, student, teacher, None), read)


@pytest.mark.parametrize("case", ALONE)
@few
@given(seed=SEEDS)
def test_samples_do_not_mix(case, seed):
    student, teacher = batch(case, seed=seed)
    one = values(case, take(student, [2]), take(teacher, [2]), LABELS[[2]])
    assert_same(one, values(case, student, teacher)[[2]])


@pytest.mark.parametrize("case", [case for case in RELATIONAL if case != "crd"])
def test_samples_mix_in_relational_losses(case):
    student, teacher = batch(case)
    one = values(case, take(student, [2]), take(teacher, [2]))
    assert (one - values(case, student, teacher)[[2]]).abs() > 1e-3


@pytest.mark.parametrize("case", OF_ANY_WIDTH)
@pytest.mark.parametrize("width", [1, D, 9])
def test_any_width(case, width):
    value = values(case, *batch(case, width=width))
    assert value.shape == (N,)
    assert value.isfinite().all()


@pytest.mark.parametrize("case", [case for case in OF_EMBEDDINGS if case not in OF_ANY_WIDTH])
def test_another_width_is_refused(case):
    student, teacher = batch(case, width=D + 2)
    with pytest.raises(UserError) as error:
        create(case)(student, teacher, LABELS)
    assert all(word in str(error.value) for word in (case.split()[0], f"({N}, {D + 2})"))


# The scalars of the papers, as expressions of whole matrices.


def distances(z):
    return (z[:, None] - z[None]).square().sum(2).sqrt()


def relative_distances(z):
    far = distances(z)
    return far / (far.sum() / (N * (N - 1)))


def angles(z):
    towards = F.normalize(z[None] - z[:, None], dim=2)  # [i, j]: from i to j
    return towards @ towards.mT


def cosines(z):
    return F.normalize(z) @ F.normalize(z).T


def neighbours(z, itself):
    kernel = (cosines(z) + 1) / 2 * (1 if itself else 1 - torch.eye(N))
    return kernel / kernel.sum(1, keepdim=True)


def pkt(a, b, itself):
    p, q = neighbours(a, itself), neighbours(b, itself)
    return torch.xlogy(q, q).sub(torch.xlogy(q, p)).sum()


def correlations(p, q):
    return torch.stack([torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(p, q, strict=True)])


def dist(s, t, beta=1.0, gamma=1.0, temperature=1.0):
    p, q = (torch.softmax(x / temperature, 1) for x in (s, t))
    rows, columns = correlations(p, q).mean(), correlations(p.T, q.T).mean()
    return temperature**2 * (beta * (1 - rows) + gamma * (1 - columns))


def mlld(s, t, temperatures):
    total = 0
    for temperature in temperatures:
        p, q = (torch.softmax(x / temperature, 1) for x in (s, t))
        instance = F.kl_div(p.log(), q, reduction="batchmean") * temperature**2
        total = total + instance + (p @ p.T - q @ q.T).square().sum() / N + (p.T @ p - q.T @ q).square().sum() / C
    return total


def infonce(a, b, temperature, both=False):
    scores = F.normalize(a) @ F.normalize(b).T / temperature
    there, back = (F.cross_entropy(x, torch.arange(N)) for x in (scores, scores.T))
    return (there + back) / 2 if both else there


SCALARS = {
    "rkd_distance": lambda a, b: F.smooth_l1_loss(relative_distances(a), relative_distances(b)),
    "rkd_angle": lambda a, b: F.smooth_l1_loss(angles(a), angles(b)),
    "sp": lambda a, b: (F.normalize(a @ a.T) - F.normalize(b @ b.T)).square().sum() / N**2,
    "cc": lambda a, b: (a @ a.T - b @ b.T).square().sum() / N**2,
    "gram": lambda a, b: (cosines(a) - cosines(b)).square().sum() / N**2,
    "gram procrustes": lambda a, b: 2 - 2 * torch.linalg.matrix_norm(F.normalize(a).T @ F.normalize(b), "nuc") / N,
    "pkt": lambda a, b: pkt(a, b, False) / N,
    "pkt code": lambda a, b: pkt(a, b, True) / N**2,
    "infonce": lambda a, b: infonce(a, b, 0.07),
    "infonce symmetric": lambda a, b: infonce(a, b, 0.5, both=True),
    "dist": dist,
    "dist warm": lambda s, t: dist(s, t, 0.6, 1.7, 2.0),
    "mlld": lambda s, t: mlld(s, t, (2.0, 5.0)),
}


def test_every_relational_loss_has_its_scalar():
    assert set(SCALARS) == set(RELATIONAL) - {"crd"}


@pytest.mark.parametrize("case", SCALARS)
@few
@given(seed=SEEDS)
def test_the_mean_over_the_batch_is_the_published_scalar(case, seed):
    student, teacher = batch(case, seed=seed)
    field = CREATED[case].reads[0]
    assert_same(values(case, student, teacher).mean(), SCALARS[case](getattr(student, field), getattr(teacher, field)))


def test_procrustes_turns_the_student_onto_the_teacher_as_near_as_can_be():
    """No rotation out of many comes nearer, and a small step away from the best one is worse."""
    student, teacher = batch("gram procrustes", width=D)
    a, b = F.normalize(student.embedding), F.normalize(teacher.embedding)
    found = values("gram procrustes", student, teacher).mean()
    others = [(a @ rotation(D, seed) - b).square().sum(1).mean() for seed in range(200)]
    assert found < min(others)


# Minima.

NOT_AT_THE_TEACHER = {"teacher_head", "centres", "simkd", "srrl", "rank of three"}
AT_THE_TEACHER = [case for case in SOFTENABLE if case not in NOT_AT_THE_TEACHER]


def test_which_losses_have_the_minimum_zero():
    assert set(CASES) - set(SOFTENABLE) == {"nkd", "nkd warm", "vid", "infonce", "infonce symmetric", "crd"}


@pytest.mark.parametrize("case", AT_THE_TEACHER)
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_student_equal_to_teacher_costs_nothing(case, dtype, bound):
    for seed in range(3):
        _, teacher = batch(case, dtype, seed=seed)
        value, slopes = value_and_gradients(create(case, dtype), teacher, teacher, LABELS)
        assert value.abs().max() < bound
        assert all(slope.abs().max() < 10 * bound for slope in slopes)


@pytest.mark.parametrize("case", SOFTENABLE)
@few
@given(seed=SEEDS, nearness=st.sampled_from([1.0, 1e-2, 1e-4]), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_never_negative(case, seed, nearness, dtype):
    """Anywhere, and next to the minimum, where rounding could get below it."""
    student, teacher = batch(case, dtype, seed=seed)
    if case not in CONNECTED and case not in OF_ANY_WIDTH:
        student = Outputs(*(b + nearness * (a - b) for a, b in zip(student, teacher, strict=True)))
    value = create(case, dtype)(student, teacher, LABELS)
    assert value.min() >= (-1e-12 if dtype == torch.float64 else -3e-5)  # T²·β = 128 roundings in dkd


def test_infimum_of_teacher_head_is_zero():
    value = create("teacher_head", scale=500.0)(Outputs(WEIGHT), Outputs(WEIGHT), torch.arange(C))
    assert 0 <= value.max() < 1e-6


def test_minimum_of_centres_is_at_the_teachers_weights():
    student, teacher = batch("centres")
    assert create("centres", student_weight=3 * WEIGHT)(student, teacher, LABELS).abs().max() < 1e-15


@pytest.mark.parametrize("case", ["simkd", "srrl"])
def test_minimum_of_connectors_is_at_the_teachers_embedding(case):
    _, teacher = batch(case)
    assert create(case).of_prediction(teacher, teacher, LABELS).abs().max() == 0
    loss = create(case, student_dim=D)
    with torch.no_grad():  # ReLU passes what is lifted above 0
        for layer, shift in ((loss.connector[0], 50.0), (loss.connector[2], -50.0)):
            layer.weight.copy_(torch.eye(D))
            layer.bias.fill_(shift)
    assert loss(teacher, teacher, LABELS).abs().max() < 1e-12


def test_minimum_of_rank_with_a_gap_is_where_the_classes_lie_apart():
    _, teacher = batch("rank")
    loss = losses.create("rank", gap=0.5)
    assert loss(teacher, teacher).max() > 0
    apart = teacher._replace(logits=teacher.logits.argsort(1).argsort(1) * 0.5)
    assert loss(apart, teacher).abs().max() < 1e-12


def test_minimum_of_nkd_is_the_teachers_own_entropy():
    _, teacher = batch("nkd")
    loss = create("nkd")
    least = loss(teacher, teacher, LABELS)
    p = torch.softmax(teacher.logits, 1)
    for i, y in enumerate(LABELS):
        others = p[i][torch.arange(C) != y] / (1 - p[i, y])
        torch.testing.assert_close(least[i], -p[i, y] * p[i, y].log() - 1.5 * (others * others.log()).sum())
    assert least.min() > 0.1


def test_vid_is_unbounded_below_and_contrasts_stay_above_zero():
    vid = create("vid", student_dim=D)
    _, teacher = batch("vid")
    with torch.no_grad():
        for layer, shift in ((vid.connector[0], 50.0), (vid.connector[2], -50.0)):
            layer.weight.copy_(torch.eye(D))
            layer.bias.fill_(shift)
        vid.raw_variance.fill_(-30.0)
    assert vid(teacher, teacher).max() < -5
    for case in ("infonce", "infonce symmetric"):
        assert values(case, teacher, teacher).min() > 0
    assert create("crd", student_dim=D)(teacher, teacher, LABELS).min() > 0.1
