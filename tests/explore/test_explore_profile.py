"""Profiles against closed forms, differences and the definition of each soft mode."""

import numpy as np
import pytest
import torch

from xmkd_lib import losses
from xmkd_lib.errors import UserError
from xmkd_lib.explore.profile import (
    GROUPS,
    dead_zones,
    group,
    margin_at,
    own_layers,
    profile,
    profile_at,
    profile_in_words,
    short,
)

HARD_ONLY = {"crd", "infonce", "nkd", "vid"}
FOUND = {name: profile_at(name, 66) for name in losses.names()}
SOFTENABLE = sorted(set(FOUND) - HARD_ONLY)
THETA = np.deg2rad(FOUND["l2"].degrees)
CLOSED = {  # value and derivative of unit vectors at the angle θ, in six dimensions
    "l2": (2 - 2 * np.cos(THETA), 2 * np.sin(THETA)),
    "hint": ((2 - 2 * np.cos(THETA)) / 6, np.sin(THETA) / 3),
    "distance": (2 * np.sin(THETA / 2), np.cos(THETA / 2)),
    "cosine": (1 - np.cos(THETA), np.sin(THETA)),
    "angular": (THETA, np.ones_like(THETA)),
    "centres": (1 - np.cos(THETA), np.sin(THETA)),
}


@pytest.mark.parametrize("name", CLOSED)
def test_closed_forms(name):
    value, slope = CLOSED[name]
    np.testing.assert_allclose(FOUND[name].hard, value, atol=1e-12)
    np.testing.assert_allclose(FOUND[name].hard_gradient[1:], slope[1:], atol=1e-9)  # at 0 two have a kink


@pytest.mark.parametrize("name", sorted(set(FOUND) - {"crd"}))  # crd takes its normaliser Z for a constant
def test_gradient_is_the_slope_of_the_values(name):
    found = FOUND[name]
    assert all(np.isfinite(curve).all() for curve in found[3:])
    slope = (found.hard[2:] - found.hard[:-2]) / (THETA[2:] - THETA[:-2])
    gap = np.abs(slope - found.hard_gradient[1:-1])
    assert np.median(gap) < 0.01 * np.abs(found.hard_gradient).max()  # kinks are where they differ


@pytest.mark.parametrize("name", SOFTENABLE)
def test_a_hinge_is_the_hard_loss_less_the_margin_and_pulls_in_full_or_not_at_all(name):
    found = FOUND[name]
    np.testing.assert_allclose(found.soft, np.maximum(found.hard - found.margin, 0), atol=1e-12)
    np.testing.assert_array_equal(found.soft_gradient, np.where(found.hard > found.margin, found.hard_gradient, 0))
    assert found.margin == pytest.approx(found.hard[33], abs=1e-12)


@pytest.mark.parametrize("name", sorted(set(SOFTENABLE) - {"teacher_head"} - {n for n in FOUND if own_layers(n)}))
def test_a_student_that_equals_its_teacher_has_no_loss(name):
    assert FOUND[name].hard[0] == pytest.approx(0, abs=1e-6)


def test_squared_and_smooth_follow_their_definition():
    hard = FOUND["l2"].hard
    squared, smooth = (profile("l2", 1.0, mode) for mode in ("squared", "smooth"))
    np.testing.assert_allclose(squared.soft, np.maximum(hard - 1, 0) ** 2, atol=1e-12)
    softplus = np.log1p(np.exp(10 * (hard - 1))) - np.log1p(np.exp(-10.0))
    np.testing.assert_allclose(smooth.soft, softplus / 10, atol=1e-12)
    bounded = profile("teacher_head", 1.0, "bounded")
    np.testing.assert_allclose(bounded.soft, np.maximum(bounded.hard - bounded.hard[0] - 1, 0), atol=1e-12)


@pytest.mark.parametrize("name", ["l2", "kd", "rkd_angle"])
def test_margin_zero_and_no_margin_are_the_hard_loss(name):
    for found in (profile(name, 0.0), profile(name)):
        np.testing.assert_array_equal(found.soft, found.hard)
        np.testing.assert_array_equal(found.soft_gradient, found.hard_gradient)


def test_losses_without_a_minimum_at_zero_take_no_margin():
    assert {name for name in FOUND if margin_at(name, 60) is None} == HARD_ONLY
    assert all(FOUND[name].margin is None for name in HARD_ONLY)
    with pytest.raises(UserError, match="minimum"):
        profile("infonce", 1.0)


def test_margins_of_one_angle_in_several_units():
    assert margin_at("l2", 90) == pytest.approx(2 * margin_at("cosine", 90)) == pytest.approx(2)
    assert margin_at("angular", 45) == pytest.approx(np.pi / 4)
    assert margin_at("kd", 0) == pytest.approx(0, abs=1e-9)


def test_groups_and_layers():
    sizes = {name: sum(group(one) == name for one in FOUND) for name in GROUPS}
    assert sizes == {"feature level": 8, "relational": 8, "classifier level": 12}
    assert {name for name in FOUND if own_layers(name)} == {"crd", "simkd", "srrl", "vid"}


def test_an_empty_memory_leaves_crd_as_it_is():
    np.testing.assert_allclose(profile("crd", params={"memory": 32}).hard, FOUND["crd"].hard, atol=1e-12)


def test_parameters_reach_the_loss_and_seeds_the_batch():
    assert not np.allclose(profile("kd", params={"temperature": 1.0}).hard, FOUND["kd"].hard)
    assert not np.allclose(profile("kd", seed=1).hard, FOUND["kd"].hard)
    state = torch.random.get_rng_state()
    np.testing.assert_array_equal(profile("simkd").hard, FOUND["simkd"].hard)
    assert torch.equal(torch.random.get_rng_state(), state), "the caller's random numbers are left alone"


def test_dead_zones_are_ranges():
    assert dead_zones(FOUND["l2"]) == [(0, 66)]
    assert dead_zones(profile("l2", 5.0)) == [(0, 178)]
    assert dead_zones(profile("l2", 1.0, "smooth")) == []
    found = FOUND["dkd"]  # rises, falls below its margin and rises again
    assert len(dead_zones(found)) == 2
    second = dead_zones(found)[1]
    inside = (found.degrees >= second[0]) & (found.degrees <= second[1])
    assert (found.hard[inside] <= found.margin).all()


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (FOUND["l2"], "l2, hinge, margin 1.19: dead zone 0° to 66°, gradient there 0; beyond it the pull is the hard"),
        (profile("l2", 0.0), "margin 0.00: no dead zone, the pull is the hard one at every angle"),
        (profile("l2", 5.0), "margin 5.00: above every value here, nothing pulls"),
        (profile("l2", 1.0, "squared"), "dead zone 0° to 60°, gradient there 0; beyond it the pull is 0."),
        (profile("l2", 1.0, "smooth"), "no dead zone: 0.00 to 1.00 times the hard one"),
        (profile("l2"), "l2, no margin (hard): values 0.00 to 4.00"),
        (FOUND["infonce"], "infonce, no margin (its minimum is not 0"),
    ],
)
def test_words_carry_the_numbers(found, words):
    assert words in profile_in_words(found)


def test_small_values_keep_two_digits():
    assert [short(value) for value in (0.0, 0.0271, 1.2, 30.306)] == ["0.00", "0.027", "1.20", "30.31"]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: profile("l3"), "Did you mean 'l2'"),
        (lambda: profile("l2", 1.0, "hing"), "Did you mean 'hinge'"),
        (lambda: profile("l2", -1.0), "Margin is -1.0"),
        (lambda: profile("kd", params={"temperatur": 1.0}), "temperature"),
        (lambda: margin_at("l2", 181), "degrees from 0 to 180"),
    ],
)
def test_mistakes_are_named(call, words):
    with pytest.raises(UserError, match=words):
        call()
