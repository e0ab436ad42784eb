"""The exercise of `04_embedding_explorer`: in how many directions do embeddings vary?"""

from collections.abc import Callable

import numpy as np

from xmkd_lib.exercises.base import Outcome, Report, examine, unfilled

Attempt = Callable[[np.ndarray], float]


def check_effective_rank(attempt: Attempt) -> Report:
    """Whether a function of embeddings (N, D) returns their effective rank, by constructions with a known answer."""
    checks = (_returns_a_number, _isotropic, _line, _two_variances, _shifted, _scaled, _rotated, _uneven)
    return examine("Effective rank", attempt, *checks)


def _returns_a_number(attempt: Attempt) -> Outcome:
    """It returns a number"""
    value = attempt(_cross(np.ones(3)))
    if unfilled(value):
        return False, "it returns nothing yet"
    good = not isinstance(value, str) and np.ndim(value) == 0 and np.isfinite(float(value))
    return bool(good), f"it returned {value!r}"


def _isotropic(attempt: Attempt) -> Outcome:
    """The same variance in all 6 directions: 6"""
    return _gives(attempt, _cross(np.ones(6)), 6)


def _line(attempt: Attempt) -> Outcome:
    """Points on a line: 1"""
    return _gives(attempt, _cross(np.eye(6)[0]), 1)


def _two_variances(attempt: Attempt) -> Outcome:
    """Variances of 4 and 1: (4 + 1)² / (16 + 1) = 1.47"""
    return _gives(attempt, _cross(np.array([2.0, 1.0])), 25 / 17)


def _shifted(attempt: Attempt) -> Outcome:
    """The same after all embeddings are moved"""
    return _unchanged(attempt, lambda z: z + np.array([3.0, -1.0, 0.5]))


def _scaled(attempt: Attempt) -> Outcome:
    """The same after all embeddings are scaled"""
    return _unchanged(attempt, lambda z: 0.01 * z)


def _rotated(attempt: Attempt) -> Outcome:
    """The same after a rotation"""
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    return _unchanged(attempt, lambda z: z @ turn)


def _uneven(attempt: Attempt) -> Outcome:
    """An uneven cloud, centred on its mean: 1.88"""
    points = np.array([[0.0, 0], [0, 0], [0, 0], [4, 0], [0, 4]])  # along the diagonals, λ is 16 and 9.6
    return _gives(attempt, points, 32 / 17)


def _cross(deviations: np.ndarray) -> np.ndarray:
    """Points at plus and minus each axis (2 D, D): mean zero, and variances in proportion to the squared deviations."""
    return np.concatenate([np.diag(deviations), -np.diag(deviations)])


def _gives(attempt: Attempt, points: np.ndarray, expected: float) -> Outcome:
    value = float(attempt(points))
    return bool(abs(value - expected) < 1e-6), f"it gave {value:.3f}, expected {expected:.3f}"


def _unchanged(attempt: Attempt, change: Callable[[np.ndarray], np.ndarray]) -> Outcome:
    points = np.array([[3.0, 0, 0], [0, 2, 0], [0, 0, 1], [-2, 1, 0], [1, 1, 4]])
    before, after = float(attempt(points)), float(attempt(change(points)))
    return bool(abs(before - after) < 1e-6), f"{before:.3f} became {after:.3f}"
