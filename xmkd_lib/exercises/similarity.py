"""Notebook 01: linear CKA, written by the reader."""

from collections.abc import Callable
from typing import Any

import numpy as np

from xmkd_lib.evaluation import cka
from xmkd_lib.exercises.base import Outcome, Report, examine, unfilled

Attempt = Callable[[np.ndarray, np.ndarray], Any]
CLOSE = 1e-6


def check_cka(attempt: Attempt) -> Report:
    """Hold the reader's `cka(x, y)`, for arrays (N, D) and (N, E), against what linear CKA is and what it ignores."""
    return examine("CKA", attempt, _filled, _of_itself, _moved, _turned, _value, _other_widths)


def _pair() -> tuple[np.ndarray, np.ndarray]:
    """40 samples whose embeddings share a part, far from the origin."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(40, 5)) * [3, 2, 1, 1, 0.5] + 4
    return x, x @ draw.normal(size=(5, 5)) + 2 * draw.normal(size=(40, 5)) - 3


def _filled(attempt: Attempt) -> Outcome:
    """It gives one number"""
    value = attempt(*_pair())
    if unfilled(value):
        return False, "it returns nothing yet"
    passed = bool(np.ndim(value) == 0 and np.isfinite(value))
    return passed, f"got {type(value).__name__} {np.shape(value) or value}"


def _of_itself(attempt: Attempt) -> Outcome:
    """An embedding and itself: 1"""
    x, _ = _pair()
    return _near(attempt(x, x), 1.0)


def _moved(attempt: Attempt) -> Outcome:
    """An embedding moved as a whole: the value stays (are both centred?)"""
    x, y = _pair()
    return _near(attempt(x + np.arange(5), y - 7), attempt(x, y))


def _turned(attempt: Attempt) -> Outcome:
    """An embedding turned and scaled: the value stays"""
    x, y = _pair()
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))[0]
    return _near(attempt(0.1 * x @ turn, y), attempt(x, y))


def _value(attempt: Attempt) -> Outcome:
    """Two embeddings that share a part: between 0 and 1, the value of evaluation.cka"""
    return _near(attempt(*_pair()), cka(*_pair()))


def _other_widths(attempt: Attempt) -> Outcome:
    """Embeddings of different widths: the value of evaluation.cka"""
    x, y = _pair()
    return _near(attempt(x, y[:, :2]), cka(x, y[:, :2]))


def _near(value: Any, expected: float) -> Outcome:
    passed = bool(np.ndim(value) == 0 and abs(float(value) - float(expected)) < CLOSE)
    return passed, f"got {float(value):.4f}, expected {float(expected):.4f}"
