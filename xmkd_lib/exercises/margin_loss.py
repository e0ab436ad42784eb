"""The check of notebook 02's exercise: a hinge on the distance, by value, gradient and dead zone."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from xmkd_lib.exercises.base import Outcome, Report, examine, unfilled

FAR, NEAR, MIXED = [1.5, 2.0, 3.5], [0.0, 0.3, 0.9], [0.2, 1.4, 0.7, 3.0, 1.0]
MARGIN, OTHER_MARGINS = 1.0, (0.3, 1.7)


def check_margin_loss(attempt: Callable[[Tensor, float], Tensor]) -> Report:
    """Hold a `margin_loss(distance (N,), margin)` against loops: the mean over all samples of (distance − margin)₊.

    >>> print(check_margin_loss(lambda distance, margin: ...))
    margin_loss: not yet.
    ✗ It returns one number, as a tensor (it returns nothing yet)
    """
    checks = (_returns_a_number, _value_beyond, _dead_zone, _mean_over_all, _hard, _other_margins, _gradient)
    return examine("margin_loss", attempt, *checks)


def _returns_a_number(attempt: Any) -> Outcome:
    """It returns one number, as a tensor"""
    value = attempt(_distances(FAR), MARGIN)
    if unfilled(value):
        return False, "it returns nothing yet"
    if not isinstance(value, Tensor):
        return False, f"a {type(value).__name__}"
    return value.shape == (), f"a tensor of shape {tuple(value.shape)}"


def _value_beyond(attempt: Any) -> Outcome:
    """Beyond the margin it is the distance less the margin"""
    return _compare(attempt, FAR, MARGIN)


def _dead_zone(attempt: Any) -> Outcome:
    """Within the margin it is 0: no negative values"""
    return _compare(attempt, NEAR, MARGIN)


def _mean_over_all(attempt: Any) -> Outcome:
    """The mean runs over all samples, not over those beyond the margin alone"""
    return _compare(attempt, MIXED, MARGIN)


def _hard(attempt: Any) -> Outcome:
    """With margin 0 it is the hard loss, the mean distance"""
    return _compare(attempt, MIXED, 0.0)


def _other_margins(attempt: Any) -> Outcome:
    """It is so with any margin"""
    found = [_compare(attempt, MIXED, margin) for margin in OTHER_MARGINS]
    return min(found)  # one that fails, if any does


def _gradient(attempt: Any) -> Outcome:
    """Each sample's pull, N times the gradient, is exactly 1 beyond the margin and 0 within"""
    values = [value for value in MIXED if value != MARGIN]  # at the kink itself any slope from 0 to 1 would do
    distance = _distances(values)
    value = attempt(distance, MARGIN)
    if not value.requires_grad:
        return False, "no gradient arrives at the distances: use torch operations alone"
    (gradient,) = torch.autograd.grad(value, distance)
    pull = len(values) * gradient
    wanted = torch.tensor([float(value > MARGIN) for value in values], dtype=pull.dtype)
    return torch.allclose(pull, wanted, atol=1e-9), f"{_listed(pull)} for distances {_listed(distance)}"


def _compare(attempt: Any, values: list[float], margin: float) -> Outcome:
    wanted = sum(max(0.0, value - margin) for value in values) / len(values)
    given = _distances(values)
    found = float(attempt(given, margin))
    if given.tolist() != values:
        return False, "it changes the distances that it is given"
    seen = f"{found:.4g} for distances {values} and margin {margin:g}, where it should be {wanted:.4g}"
    return abs(found - wanted) < 1e-9, seen


def _distances(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def _listed(values: Tensor) -> str:
    return str([round(value, 4) for value in values.tolist()])
