"""The exercise of `04_embedding_explorer`: in how many directions do embeddings vary?"""

from collections.abc import Callable

import numpy as np

from xmkd_lib.exercises.base import Finding, Report, examine, unfilled

Attempt = Callable[[np.ndarray], float]
DIMENSIONS = 6


def check_effective_rank(attempt: Attempt) -> Report:
    """Whether a function of embeddings (N, D) returns their effective rank, by constructions with a known answer."""
    checks = (_returns_a_number, _isotropic, _line, _two_variances, _shifted, _scaled, _rotated, _uneven)
    return examine("Effective rank", attempt, *checks)


def _returns_a_number(attempt: Attempt) -> Finding:
    """returns a number"""
    value = attempt(_cross(np.ones(3)))
    if unfilled(value):
        return Finding("returns a number", False, "the stub returns nothing yet")
    good = not isinstance(value, str) and np.ndim(value) == 0 and np.isfinite(float(value))
    return Finding("returns a number", bool(good), f"it returned {value!r}")


def _isotropic(attempt: Attempt) -> Finding:
    """the same variance in all directions: D"""
    return _holds(f"the same variance in all {DIMENSIONS} directions: {DIMENSIONS}", attempt, np.ones(DIMENSIONS))


def _line(attempt: Attempt) -> Finding:
    """points on a line: 1"""
    return _holds("points on a line: 1", attempt, np.eye(DIMENSIONS)[0])


def _uneven(attempt: Attempt) -> Finding:
    """an uneven cloud, centred on its mean"""
    points = np.array([[0.0, 0], [0, 0], [0, 0], [4, 0], [0, 4]])  # along the diagonals, λ is 16 and 9.6
    value, expected = float(attempt(points)), 32 / 17
    seen = f"it gave {value:.3f}, expected {expected:.3f}"
    return Finding("an uneven cloud, centred on its mean: 1.88", bool(abs(value - expected) < 1e-6), seen)


def _two_variances(attempt: Attempt) -> Finding:
    """unequal variances, counted by (Σλ)²/Σλ²"""
    # standard deviations 2 and 1 give λ = 4 and 1, whatever a covariance is divided by
    return _holds("variances of 4 and 1: (4 + 1)² / (16 + 1) = 1.47", attempt, np.array([2.0, 1.0]), 25 / 17)


def _shifted(attempt: Attempt) -> Finding:
    """the same after all embeddings are moved"""
    return _unchanged("the same after all embeddings are moved", attempt, lambda z: z + np.array([3.0, -1.0, 0.5]))


def _scaled(attempt: Attempt) -> Finding:
    """the same after all embeddings are scaled"""
    return _unchanged("the same after all embeddings are scaled", attempt, lambda z: 0.01 * z)


def _rotated(attempt: Attempt) -> Finding:
    """the same after a rotation"""
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    return _unchanged("the same after a rotation", attempt, lambda z: z @ turn)


def _cross(deviations: np.ndarray) -> np.ndarray:
    """Points at plus and minus each axis (2 D, D): mean zero, and variances in proportion to the squared deviations."""
    return np.concatenate([np.diag(deviations), -np.diag(deviations)])


def _holds(claim: str, attempt: Attempt, deviations: np.ndarray, expected: float | None = None) -> Finding:
    expected = float(np.count_nonzero(deviations)) if expected is None else expected
    value = float(attempt(_cross(deviations)))
    return Finding(claim, bool(abs(value - expected) < 1e-6), f"it gave {value:.3f}, expected {expected:.3f}")


def _unchanged(claim: str, attempt: Attempt, change: Callable[[np.ndarray], np.ndarray]) -> Finding:
    points = np.array([[3.0, 0, 0], [0, 2, 0], [0, 0, 1], [-2, 1, 0], [1, 1, 4]])  # uneven: the mean is no median
    before, after = float(attempt(points)), float(attempt(change(points)))
    return Finding(claim, bool(abs(before - after) < 1e-6), f"{before:.3f} became {after:.3f}")
