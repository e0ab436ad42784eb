"""The calibrated margin in a world where the irreducible distance is known."""

import numpy as np
import pytest
import torch

from xmkd_lib import losses
from xmkd_lib.errors import UserError
from xmkd_lib.losses.base import unit
from xmkd_lib.outputs import Outputs

TRAIN = 8000  # of 12000: the fit's own error is then below 2 %


def draw(*shape, seed):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def world(shared, n=12000, seed=0, width=16):
    """t = √shared·A c + √(1−shared)·B u; the student's embedding is a linear view of c alone."""
    a, b = (torch.linalg.qr(draw(width, width, seed=seed + i)).Q for i in (1, 2))
    c, u = draw(n, width, seed=seed + 3), draw(n, width, seed=seed + 4)
    view = draw(width, width, seed=seed + 5)
    known = shared**0.5 * c @ a
    return c @ view, known, known + (1 - shared) ** 0.5 * u @ b


def margin_and_truth(loss, shared):
    x, known, t = world(shared)
    train, val = slice(0, TRAIN), slice(TRAIN, None)
    found = losses.auto_margin(loss, Outputs(x[train]), Outputs(t[train]), Outputs(x[val]), Outputs(t[val]))
    return found, loss(Outputs(known[val]), Outputs(t[val])).median().item()


SHARES = (0.9, 0.7, 0.5, 0.3, 0.1)


@pytest.mark.parametrize(
    ("name", "params"), [("l2", {"normalise": False}), ("l2", {}), ("cosine", {}), ("angular", {})]
)
def test_finds_the_irreducible_median_distance(name, params):
    loss = losses.create(name, **params)
    pairs = [margin_and_truth(loss, shared) for shared in SHARES]
    for found, truth in pairs:
        assert found == pytest.approx(truth, rel=0.02)
    margins = [found for found, _ in pairs]
    assert margins == sorted(margins), "the less is shared, the wider"


def test_nothing_shared_is_the_distance_of_unrelated_pairs_and_all_shared_is_none():
    x, _, t = world(1.0)
    _, _, unrelated = world(0.5, seed=50)
    train, val = slice(0, TRAIN), slice(TRAIN, None)
    for target, expected in ((t, 0.0), (unrelated, 2.0)):
        found = losses.auto_margin(
            losses.create("l2"), Outputs(x[train]), Outputs(target[train]), Outputs(x[val]), Outputs(target[val])
        )
        assert found == pytest.approx(expected, abs=0.12)


def test_logits_are_predicted_for_kd():
    x, known, t = world(0.5)
    train, val = slice(0, TRAIN), slice(TRAIN, None)
    loss = losses.create("kd", temperature=4.0)
    teacher = Outputs(t, t + draw(12000, 1, seed=8) * 100)  # a shift of all logits means nothing
    halves = [Outputs(*(y[part] for y in teacher)) for part in (train, val)]
    found = losses.auto_margin(loss, Outputs(x[train]), halves[0], Outputs(x[val]), halves[1])
    truth = loss(Outputs(x[val], known[val]), halves[1]).median().item()
    assert found == pytest.approx(truth, rel=0.02)


def test_labels_of_validation_reach_the_teacher_head():
    x, known, t = world(0.5)
    weight = draw(5, 16, seed=7)
    labels = (unit(t) @ unit(weight).T).argmax(1)
    loss = losses.create("teacher_head", weight=weight, scale=8.0)
    sides = Outputs(x[:TRAIN]), Outputs(t[:TRAIN]), Outputs(x[TRAIN:]), Outputs(t[TRAIN:])
    found = losses.auto_margin(loss, *sides, labels[TRAIN:])
    truth = loss(Outputs(known[TRAIN:]), sides[3], labels[TRAIN:]).median().item()
    assert found == pytest.approx(truth, rel=0.02)
    with pytest.raises(UserError, match="0 to 4"):
        losses.auto_margin(loss, *sides, labels[TRAIN:] + 5)


@pytest.mark.parametrize("name", ["simkd", "srrl"])
def test_losses_with_a_connector_judge_the_prediction_without_it(name):
    """The ridge predicts the teacher's embedding, so there is nothing left to be mapped."""
    x, known, t = world(0.5)
    params = {"weight": draw(5, 16, seed=7)} if name == "srrl" else {}
    loss = losses.create(name, student_dim=16, teacher_dim=16, **params).double()
    train, val = slice(0, TRAIN), slice(TRAIN, None)
    found = losses.auto_margin(loss, Outputs(x[train]), Outputs(t[train]), Outputs(x[val]), Outputs(t[val]))
    truth = loss.of_prediction(Outputs(known[val]), Outputs(t[val]), None).median().item()
    assert found == pytest.approx(truth, rel=0.02)


def test_works_on_float32_training_graphs_and_leaves_no_trace():
    x, _, t = (y.float().requires_grad_() for y in world(0.5, n=300))
    found = losses.auto_margin(
        losses.create("l2"), Outputs(x[:200]), Outputs(t[:200]), Outputs(x[200:]), Outputs(t[200:])
    )
    assert isinstance(found, float)
    assert x.grad is None


@pytest.mark.parametrize("strength", [0.0, 0.01, 3.0])
def test_ridge_solves_the_normal_equations(strength):
    x, y = draw(50, 4, seed=0) * 3 + 7, draw(50, 2, seed=1)
    fitted = losses.fit_ridge(x, y, strength)
    z = (x.numpy() - x.numpy().mean(0)) / x.numpy().std(0, ddof=1)
    slope = np.linalg.solve(z.T @ z + 50 * strength * np.eye(4), z.T @ (y - y.mean(0)).numpy())
    np.testing.assert_allclose(fitted(x).numpy(), z @ slope + y.mean(0).numpy(), atol=1e-9)


def test_strength_is_chosen_by_leaving_each_sample_out():
    """Against refitting without each sample, in a case where neither end of the grid is best."""
    x, y = draw(24, 12, seed=0), draw(24, 3, seed=1)
    y = y + x[:, :3]
    grid = (1e-4, 1e-1, 0.3, 1.0, 1e2)

    def error(strength):
        rest = [torch.arange(24) != i for i in range(24)]
        fits = [losses.fit_ridge(x[keep], y[keep], strength) for keep in rest]
        return sum((fits[i](x[i : i + 1]) - y[i]).square().sum().item() for i in range(24))

    best = min(grid, key=error)
    assert best not in (grid[0], grid[-1])
    chosen, expected = losses.fit_ridge(x, y, grid), losses.fit_ridge(x, y, best)
    torch.testing.assert_close(chosen.weight, expected.weight)


def test_strength_is_chosen_by_leaving_each_group_out():
    """Against refitting without each group, where leaving single samples out would choose another strength."""
    who = torch.arange(10).repeat_interleave(5)
    x = draw(10, 8, seed=0)[who] + 0.05 * draw(50, 8, seed=1)  # a student that knows its ten speakers by heart
    y = draw(10, 3, seed=2)[who] + 0.5 * x[:, :3] + 0.1 * draw(50, 3, seed=3)
    grid = (1e-4, 1e-2, 0.1, 1.0, 10.0, 1e3)

    def error(strength):
        fits = {k: losses.fit_ridge(x[who != k], y[who != k], strength) for k in range(10)}
        return sum((fits[k](x[who == k]) - y[who == k]).square().sum().item() for k in range(10))

    best = min(grid, key=error)
    torch.testing.assert_close(losses.fit_ridge(x, y, grid, who).weight, losses.fit_ridge(x, y, best).weight)
    assert not torch.equal(losses.fit_ridge(x, y, grid).weight, losses.fit_ridge(x, y, best).weight)


def test_loud_teachers_do_not_decide_for_a_loss_of_directions():
    x, known, t = world(0.5)
    loud = t * torch.exp(2 * draw(12000, 1, seed=9))
    sides = [Outputs(v[part]) for part in (slice(0, TRAIN), slice(TRAIN, None)) for v in (x, loud)]
    loss = losses.create("l2")
    truth = loss(Outputs(known[TRAIN:]), Outputs(t[TRAIN:])).median().item()
    assert losses.auto_margin(loss, *sides) == pytest.approx(truth, rel=0.02)


def test_ridge_with_copies_and_dead_units():
    x, y, new = draw(30, 3, seed=0), draw(30, 2, seed=2), draw(10, 3, seed=3)
    dead = torch.full((30, 1), 0.1, dtype=torch.float64)
    plain = losses.fit_ridge(x, y, 0.0)
    copied = losses.fit_ridge(torch.cat([x, x, dead], 1), y, 0.0)
    torch.testing.assert_close(copied(torch.cat([new, new, dead[:10] + 1], 1)), plain(new))
    constant = torch.full((30, 1), 1e5 / 3, dtype=torch.float64)  # its standard deviation rounds to 7e-12
    only_dead = losses.fit_ridge(constant, y, 0.0)
    torch.testing.assert_close(only_dead(constant[:10] + 1), y.mean(0).expand(10, 2))


def test_ridge_with_more_inputs_than_samples_predicts_no_worse_than_the_mean():
    x, y = draw(12, 40, seed=0), draw(12, 2, seed=1)
    new_x, new_y = draw(500, 40, seed=2), draw(500, 2, seed=3)
    error = (losses.fit_ridge(x, y)(new_x) - new_y).square().mean()
    assert error < 1.2 * (new_y - y.mean(0)).square().mean()
    assert losses.fit_ridge(x, y, 0.0)(x).isfinite().all()


def test_refusals():
    x, y = draw(10, 3, seed=0), draw(10, 4, seed=1)
    with pytest.raises(UserError, match="rows must pair up"):
        losses.fit_ridge(x, y[:9])
    with pytest.raises(UserError, match="teacher has none"):
        losses.auto_margin(losses.create("kd"), *[Outputs(v) for v in (x, y, x, y)])
    with pytest.raises(UserError, match="batch sizes"):
        losses.auto_margin(losses.create("l2"), *[Outputs(v) for v in (x, y, x, y[:5])])
    loss = losses.create("l2")
    loss.minimum = None
    with pytest.raises(UserError, match="no minimum"):
        losses.auto_margin(loss, *[Outputs(v) for v in (x, y, x, y)])


def test_bounded_takes_the_teachers_own_loss_off():
    x, known, t = world(0.5)
    weight = draw(5, 16, seed=7)
    labels = (unit(t) @ unit(weight).T).argmax(1)
    loss = losses.create("teacher_head", weight=weight, scale=4.0)
    sides = Outputs(x[:TRAIN]), Outputs(t[:TRAIN]), Outputs(x[TRAIN:]), Outputs(t[TRAIN:])
    found = losses.auto_margin(loss, *sides, labels[TRAIN:], relative=True)
    gap = loss(Outputs(known[TRAIN:]), sides[3], labels[TRAIN:]) - loss(sides[3], sides[3], labels[TRAIN:])
    assert found == pytest.approx(gap.clamp_min(0).median().item(), rel=0.03)
    assert found < losses.auto_margin(loss, *sides, labels[TRAIN:]) - 0.1


def test_a_relation_is_measured_on_batches_of_the_training_size():
    x, known, t = world(0.5, n=1200)
    loss = losses.create("sp")
    sides = Outputs(x[:800]), Outputs(t[:800]), Outputs(x[800:]), Outputs(t[800:])
    small, large = (losses.auto_margin(loss, *sides, batch_size=size) for size in (16, 200))
    assert small > 5 * large  # the loss falls as 1/N
    truth = [loss(Outputs(known[i : i + 16]), Outputs(t[i : i + 16])) for i in range(800, 1200, 16)]
    assert small == pytest.approx(torch.cat(truth).median().item(), rel=0.1)


def test_numbers_that_are_none_are_refused():
    x, y = draw(10, 3, seed=0), draw(10, 4, seed=1)
    broken = y.clone()
    broken[2, 1] = torch.nan
    loss = losses.create("l2")
    for sides in ((x, broken, x, y), (x, y, x, broken)):
        with pytest.raises(UserError, match=r"NaN|not finite"):
            losses.auto_margin(loss, *map(Outputs, sides))
    with pytest.raises(UserError, match="9 groups for 10 rows"):
        losses.fit_ridge(x, y, groups=torch.arange(9))
    for strength in (-1.0, float("nan"), []):
        with pytest.raises(UserError, match="strength"):
            losses.fit_ridge(x, y, strength)
    with pytest.raises(UserError, match="batch_size 1"):
        losses.auto_margin(losses.create("sp"), *map(Outputs, (x, y, x, y)), batch_size=1)
    with pytest.raises(UserError, match="0 held-out rows"):
        losses.auto_margin(loss, *map(Outputs, (x, y, x[:0], y[:0])))
