"""The toy world is what its formula says, and its students, trained all at once, are those of a plain loop."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from xmkd_lib.errors import UserError
from xmkd_lib.explore import toy
from xmkd_lib.explore.strength import COLUMNS, hurts_at


@pytest.fixture(scope="module")
def half():
    return toy.students(0.5, 0.5)


def value(table, constraint, strength, split, quantity):
    chosen = (table.constraint == constraint) & (table.strength == strength) & (table.split == split)
    return table[chosen][quantity].item()


def test_a_world_has_vectors_of_length_1_and_every_class():
    world = toy.world(0.5, 0.5, 200)
    assert world.inputs.shape == (200, 128)
    for vectors in (world.teacher, world.best):
        assert vectors.norm(dim=1).numpy() == pytest.approx(np.ones(200), abs=1e-5)
    assert torch.bincount(world.labels).tolist() == [10] * 20


def test_all_shared_and_none_shared():
    told = toy.world(1.0, 0.5, 500)
    assert (told.teacher - told.best).abs().max() < 1e-5
    untold = toy.world(0.0, 0.5, 5000)
    assert (untold.teacher * untold.best).sum(1).mean() == pytest.approx(0, abs=0.02)


def test_without_noise_the_input_tells_the_class_and_nothing_else():
    world = toy.world(0.5, 0.0, 60)
    assert (world.inputs[:20] - world.inputs[20:40]).abs().max() == 0
    assert (world.teacher[:20] - world.teacher[20:40]).norm(dim=1).min() > 0.1


@pytest.mark.parametrize("shared", [0.2, 0.5, 0.9])
def test_the_floor_against_numpy(shared):
    draw = np.random.default_rng(0)
    c, u = draw.normal(size=(2, 200_000, 16))
    t = np.sqrt(shared) * c + np.sqrt(1 - shared) * u
    cosine = (c * t).sum(1) / np.linalg.norm(c, axis=1) / np.linalg.norm(t, axis=1)
    worlds = [toy.world(shared, 0.3, 1000, seed) for seed in range(5)]
    floors = [(2 - 2 * (world.best * world.teacher).sum(1)).mean() for world in worlds]
    assert np.mean(floors) == pytest.approx(2 - 2 * cosine.mean(), abs=0.05)
    held_out = toy.world(shared, 0.3, 2200).rows(200, 2200)
    floor = float((2 - 2 * (held_out.best * held_out.teacher).sum(1)).mean())
    assert toy.students(shared, 0.3, []).floor == pytest.approx(floor, abs=1e-5)


@pytest.mark.parametrize(("shared", "noise"), [(0.0, 0.5), (0.3, 0.1), (0.5, 1.0), (1.0, 0.5)])
def test_no_student_undercuts_the_floor_on_new_data(shared, noise):
    found = toy.students(shared, noise, [0.3, 30.0])
    held_out = found.table[found.table.split == "held-out"]
    assert held_out.distance.min() > found.floor - 0.05  # both are means over the same 2000 samples


def test_training_undercuts_the_floor_and_the_gap_grows(half):
    training = [value(half.table, "hard", strength, "training", "distance") for strength in toy.STRENGTHS]
    held_out = [value(half.table, "hard", strength, "held-out", "distance") for strength in toy.STRENGTHS]
    assert training == sorted(training, reverse=True)
    assert training[-1] < half.floor - 0.3
    gaps = np.subtract(held_out, training)
    assert gaps[-1] > gaps[0] + 0.5


def test_hard_hurts_the_sooner_the_less_is_shared():
    starts = [(hurts_at(toy.students(shared, 0.5).table) or [np.inf])[0] for shared in (0.1, 0.5, 0.9)]
    assert starts == sorted(starts)
    assert starts[0] < 3 < starts[2]


def test_the_soft_pull_ends_at_the_margin(half):
    pulled = value(half.table, "hard", 30.0, "training", "distance")
    assert value(half.table, "soft", 30.0, "training", "distance") > pulled + 0.2
    assert half.margin > half.floor
    assert half.lines == {"floor": half.floor, "auto margin": half.margin}


@pytest.mark.parametrize(("constraint", "strength"), [("hard", 0.0), ("hard", 3.0), ("soft", 3.0)])
def test_students_against_one_trained_alone(half, constraint, strength):
    world = toy.world(0.5, 0.5, 2200)
    x, t, labels = (part[:100] for part in (world.inputs, world.teacher, world.labels))
    generator = torch.Generator().manual_seed(0)
    w = torch.randn(128, 16, generator=generator).requires_grad_()
    classes = torch.randn(20, 16, generator=generator).requires_grad_()
    optimiser = torch.optim.Adam([w, classes], lr=toy.LEARNING_RATE)
    for _ in range(toy.STEPS):
        z = F.normalize(x @ w)
        entropy = F.cross_entropy(toy.SCALE * z @ F.normalize(classes).T, labels)
        pull = 2 - 2 * (z * t).sum(1)
        pull = (pull - half.margin).clamp_min(0) if constraint == "soft" else pull
        optimiser.zero_grad()
        (entropy + strength * pull.mean()).backward()
        optimiser.step()
    z = F.normalize(world.inputs[200:] @ w)
    distance = (2 - 2 * (z * world.teacher[200:]).sum(1)).mean().item()
    error = 100 * (((z @ F.normalize(classes).T).argmax(1)) != world.labels[200:]).float().mean().item()
    assert value(half.table, constraint, strength, "held-out", "distance") == pytest.approx(distance, abs=0.01)
    assert value(half.table, constraint, strength, "held-out", "error") == pytest.approx(error, abs=0.6)


def test_the_table_has_every_student_once(half):
    assert list(half.table.columns) == COLUMNS
    assert len(half.table) == 2 * 2 * len(toy.STRENGTHS)
    assert not half.table.duplicated(["constraint", "strength", "split"]).any()
    free = half.table[half.table.strength == 0].drop(columns="constraint")
    assert len(free.drop_duplicates()) == 2, "without a constraint, hard and soft are one student"
    assert half.table.cka.between(0, 1).all()


def test_the_same_seed_gives_the_same_bits(half):
    again = toy.students(0.5, 0.5)
    assert again.table.equals(half.table)
    assert (again.floor, again.margin) == (half.floor, half.margin)
    assert not toy.students(0.5, 0.5, [1.0], seed=1).table.equals(toy.students(0.5, 0.5, [1.0]).table)


@pytest.mark.parametrize(("shared", "noise"), [(1.1, 0.5), (-0.1, 0.5), (0.5, -1), (0.5, float("inf")), (0.5, np.nan)])
def test_a_world_that_cannot_be(shared, noise):
    with pytest.raises(UserError, match="Toy world: shared is"):
        toy.students(shared, noise)


def test_strengths_that_cannot_be():
    with pytest.raises(UserError, match="strengths are"):
        toy.students(0.5, 0.5, [-1.0])
