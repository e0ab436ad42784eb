"""Exercise of 06: the mean paired difference."""

import math
from collections.abc import Callable, Mapping

from xmkd_lib.exercises.base import Outcome, Report, examine, unfilled

BySeed = Mapping[int, float]
Difference = Callable[[BySeed, BySeed], float]
COMMON = {0: -0.01, 1: -0.02, 4: -0.15, 7: 0.03}  # differences: uneven, so that no other middle is the mean


def check_paired_difference(paired_difference: Difference) -> Report:
    """Whether `paired_difference(method, baseline)` of {seed: value} compares each seed with itself, and no other."""
    return examine("The paired difference", paired_difference, _a_number, _common_seeds, _sign, _whatever_the_order)


def _made_up() -> tuple[dict[int, float], dict[int, float]]:
    """Method and baseline, new in each call. Only one of them has run on seeds 3 and 5, which are hard for all."""
    return {0: 0.14, 1: 0.20, 3: 0.40, 4: 0.15, 5: 0.38, 7: 0.21}, {1: 0.22, 7: 0.18, 0: 0.15, 2: 0.16, 4: 0.30}


def _a_number(attempt: Difference) -> Outcome:
    """It returns a number"""
    found = attempt(*_made_up())
    seen = "it returns nothing yet" if unfilled(found) else f"it returns {found!r}"
    try:
        float(found)
    except (TypeError, ValueError):
        return False, seen
    return not isinstance(found, str), seen


def _common_seeds(attempt: Difference) -> Outcome:
    """It is the mean over the seeds that both have, and over no other"""
    found, wanted = float(attempt(*_made_up())), sum(COMMON.values()) / len(COMMON)
    seen = f"{found:+.4f} where the mean of {', '.join(f'{value:+.2f}' for value in COMMON.values())} is {wanted:+.4f}"
    return math.isclose(abs(found), abs(wanted), abs_tol=1e-6), seen


def _sign(attempt: Difference) -> Outcome:
    """It is method minus baseline"""
    method, baseline = _made_up()
    return float(attempt(method, baseline)) < 0, "the other way round"


def _whatever_the_order(attempt: Difference) -> Outcome:
    """The order in which the seeds are listed does not matter"""
    method, baseline = _made_up()
    turned = float(attempt(dict(reversed(method.items())), baseline))
    alike = math.isclose(turned, float(attempt(*_made_up())), abs_tol=1e-6)
    return alike, "it changes the result"
