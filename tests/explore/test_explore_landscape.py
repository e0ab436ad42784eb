"""The plane against loops in plain Python: auto margin, objective, descent, distances."""

import math

import numpy as np
import pytest
import torch

from xmkd_lib import losses
from xmkd_lib.errors import UserError
from xmkd_lib.explore import landscape as room
from xmkd_lib.explore.landscape import CONSTRAINTS, MARGINS, distances, landscape, landscape_in_words, toy

POINTS = toy()
HARD, SOFT = landscape(POINTS), landscape(POINTS, "hinge", 0.45)


def objective(z, t, label, mode, margin, temperature, weight):
    scores = [-z[0] / temperature, z[0] / temperature]
    ce = math.log(sum(math.exp(score - scores[label]) for score in scores))
    distance = (z[0] - t[0]) ** 2 + (z[1] - t[1]) ** 2
    soft = {
        "hard": distance,
        "hinge": max(distance - margin, 0),
        "squared": max(distance - margin, 0) ** 2,
        "smooth": (math.log1p(math.exp(10 * (distance - margin))) - math.log1p(math.exp(-10 * margin))) / 10,
    }
    return ce + weight * soft[mode]


@pytest.mark.parametrize("mode", CONSTRAINTS)
def test_the_field_is_the_objective_of_the_shown_sample(mode):
    found = landscape(POINTS, mode, 0.6, 0.3, 2.0)
    t, label = POINTS.train[POINTS.shown].tolist(), int(POINTS.labels[POINTS.shown])
    for row, column in ((0, 99), (40, 60), (75, 70), (99, 5)):
        z = found.axis[column], found.axis[row]
        assert found.field[row, column] == pytest.approx(objective(z, t, label, mode, 0.6, 0.3, 2.0))


@pytest.mark.parametrize("mode", ["hard", "hinge"])
def test_the_path_is_a_descent_in_plain_python(mode):
    margin, temperature, weight = (0.0 if mode == "hard" else 0.45), 0.15, 1.0
    found = landscape(POINTS, mode, margin, temperature, weight)
    t, z, path = POINTS.train[POINTS.shown].numpy(), np.zeros(2), [np.zeros(2)]
    for step in range(80):
        gradient = np.array([-2 / temperature / (1 + math.exp(2 * z[0] / temperature)), 0])  # of class B
        if ((z - t) ** 2).sum() > margin:
            gradient = gradient + weight * 2 * (z - t)
        move = 0.4 * (1 - step / 80) * gradient
        z = z - move * min(1, 0.1 / max(np.linalg.norm(move), 1e-12))
        path.append(z)
    np.testing.assert_allclose(found.path, path, atol=1e-9)
    np.testing.assert_array_equal(found.ends[POINTS.shown], found.path[-1])


def test_hard_reaches_the_teacher_and_soft_stops_at_the_edge_of_the_disc():
    t = POINTS.train[POINTS.shown].numpy()
    assert np.linalg.norm(HARD.path[-1] - t) < 0.05
    edge = 0.45**0.5
    assert edge - room.LONGEST <= np.linalg.norm(SOFT.path[-1] - t) <= edge + 1e-9  # a step across the edge, no further
    assert HARD.train_distance < 1e-6


def test_distances_are_medians_and_new_samples_get_the_nearest_embedding():
    train, new = distances(POINTS, POINTS.train[None] + 0.1)
    assert train[0] == pytest.approx(0.02)
    found = []
    for c, u in POINTS.new.tolist():
        x, y = min(POINTS.train.tolist(), key=lambda known: abs(known[0] - c))
        found.append((x + 0.1 - c) ** 2 + (y + 0.1 - u) ** 2)
    assert new[0] == pytest.approx(np.median(found))


@pytest.mark.parametrize("unknown", [0.5, 1.0, 2.0])
def test_the_auto_margin_is_the_median_distance_that_least_squares_leaves(unknown):
    points = toy(3, unknown)
    known, new = (np.stack([side[:, 0], np.ones(len(side))], 1) for side in (points.train, points.new))
    line, *_ = np.linalg.lstsq(known, points.train.numpy(), rcond=None)
    left = ((new @ line - points.new.numpy()) ** 2).sum(1)
    assert points.auto_margin == pytest.approx(np.median(left), abs=0.02 * unknown**2)
    assert points.auto_margin == pytest.approx(0.455 * unknown**2, abs=0.03 * unknown**2)  # median of a squared normal


def test_what_the_notebook_tells_holds_for_other_seeds():
    for seed in range(4):
        points = toy(seed)
        hard, soft = landscape(points), landscape(points, "hinge", points.auto_margin)
        assert hard.train_distance < 0.01 < soft.train_distance
        assert soft.new_distance < hard.new_distance
        assert points.auto_margin < soft.new_distance
        cold, hot = (landscape(points, "hinge", 3.0, temperature) for temperature in (0.05, 1.0))
        best_cold = landscape(points, "hinge", points.auto_margin, 0.05)
        assert cold.new_distance > best_cold.new_distance
        assert hot.new_distance > landscape(points, "hard", 0.0, 1.0).new_distance


def test_the_curve_agrees_with_the_chosen_margin():
    place = MARGINS.tolist().index(0.45)
    assert (SOFT.train_distances[place], SOFT.new_distances[place]) == (SOFT.train_distance, SOFT.new_distance)
    assert HARD.train_distances[0] == HARD.train_distance
    np.testing.assert_array_equal(HARD.train_distances, SOFT.train_distances)


def test_hard_ignores_the_margin_and_weight_zero_the_constraint():
    assert landscape(POINTS, "hard", 2.0).margin == 0
    free = [landscape(POINTS, mode, 0.3, weight=0.0) for mode in CONSTRAINTS]
    for other in free[1:]:
        np.testing.assert_array_equal(other.ends, free[0].ends)


def test_no_step_is_longer_than_the_longest_and_equal_calls_are_equal():
    steep = landscape(POINTS, "squared", 0.0, 0.05, 4.0)
    assert np.linalg.norm(np.diff(steep.path, axis=0), axis=1).max() <= room.LONGEST + 1e-12
    np.testing.assert_array_equal(steep.path, landscape(toy(), "squared", 0.0, 0.05, 4.0).path)


def test_words_carry_the_choice_and_the_numbers():
    text = landscape_in_words(landscape(POINTS, "smooth", 1.2, 0.25, 2.5))
    assert text.startswith("smooth, margin 1.20, temperature 0.25, λ 2.50: ")
    assert f"leaves {POINTS.auto_margin:.2f} there" in text


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: toy(unknown=0.0), "spread above 0"),
        (lambda: toy(samples=3), "4 samples or more"),
        (lambda: landscape(POINTS, "hing"), "Did you mean 'hinge'"),
        (lambda: landscape(POINTS, "hinge", -1.0), "margin -1.0"),
        (lambda: landscape(POINTS, "hinge", float("nan")), "margin nan"),
        (lambda: landscape(POINTS, temperature=0.0), "temperature 0.0"),
        (lambda: landscape(POINTS, weight=-0.1), "weight -0.1"),
    ],
)
def test_mistakes_are_named(call, words):
    with pytest.raises(UserError, match=words):
        call()


def test_the_margin_is_measured_on_samples_that_are_used_for_nothing_else(monkeypatch):
    seen = []
    monkeypatch.setattr(losses, "auto_margin", lambda loss, *outputs: seen.extend(outputs) or 0.5)
    found = toy(seed=2)
    _, train, known, held_out = (side.embedding for side in seen)
    assert torch.equal(train, found.train)
    assert torch.equal(known[:, 0], held_out[:, 0])
    assert held_out.shape == found.new.shape
    assert not torch.equal(held_out, found.new)
