"""The exercise of notebook 03: from quality to weights."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from xmkd_lib.exercises.base import Outcome, Report, examine, unfilled

QUALITY = (0.9, 0.1, 0.5, 0.35, 0.7, 0.0, 1.0, 0.1)
CLOSE = 1e-5  # float32


def check_weights(weights: Callable[[Tensor, float], Any]) -> Report:
    """Whether `weights(quality, strength)` gives 1 - s + s·q over its mean, detached, for quality (n,) in [0, 1]."""
    return examine(
        "Weights from quality", weights, _shape, _strength_0, _mean_1, _order, _values, _detached, _leaves_quality_alone
    )


def _of(weights: Callable[[Tensor, float], Any], strength: float) -> Tensor:
    return weights(torch.tensor(QUALITY), strength)


def _shape(weights: Callable) -> Outcome:
    """It returns one weight per sample"""
    found = _of(weights, 0.5)
    if unfilled(found):
        return False, "it returns nothing yet"
    if not isinstance(found, Tensor):
        return False, f"a {type(found).__name__}, needed is a tensor"
    return found.shape == (len(QUALITY),), f"shape {tuple(found.shape)}"


def _strength_0(weights: Callable) -> Outcome:
    """Strength 0 gives exactly 1"""
    found = _of(weights, 0.0)
    return bool((found == 1).all()), _listed(found)


def _mean_1(weights: Callable) -> Outcome:
    """The mean is 1 at every strength"""
    means = [float(_of(weights, strength).double().mean()) for strength in (0.3, 0.8, 1.0)]
    return all(abs(mean - 1) < CLOSE for mean in means), f"means {', '.join(f'{mean:.3f}' for mean in means)}"


def _order(weights: Callable) -> Outcome:
    """Better samples get larger weights, equal samples equal ones"""
    found = _of(weights, 0.8).tolist()
    pairs = [(a, b) for a in range(len(QUALITY)) for b in range(len(QUALITY)) if QUALITY[a] >= QUALITY[b]]
    wrong = sum(found[a] <= found[b] if QUALITY[a] > QUALITY[b] else abs(found[a] - found[b]) > CLOSE for a, b in pairs)
    return not wrong, f"{wrong} pairs are not"


def _values(weights: Callable) -> Outcome:
    """Every weight is 1 - s + s·q over the mean"""
    for strength in (0.3, 0.8, 1.0):
        raw = [1 - strength + strength * q for q in QUALITY]
        wanted = [value / (sum(raw) / len(raw)) for value in raw]
        found = _of(weights, strength)
        if max(abs(a - b) for a, b in zip(found.tolist(), wanted, strict=True)) > CLOSE:
            return False, f"at strength {strength} {_listed(found)}, wanted {_listed(torch.tensor(wanted))}"
    return True, ""


def _detached(weights: Callable) -> Outcome:
    """No gradient flows into the quality"""
    found = weights(torch.tensor(QUALITY, requires_grad=True), 0.5)
    return not found.requires_grad, "the result asks for a gradient"


def _leaves_quality_alone(weights: Callable) -> Outcome:
    """The quality that was passed in is not changed"""
    given = torch.tensor(QUALITY)
    weights(given, 0.5)
    return torch.equal(given, torch.tensor(QUALITY)), "it is"


def _listed(values: Tensor) -> str:
    return ", ".join(f"{value:.3f}" for value in values.tolist())
