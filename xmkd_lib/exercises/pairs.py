"""Exercise of 06: the mean paired difference."""

import math
from collections.abc import Callable, Mapping

from xmkd_lib.exercises.base import Finding, Report, examine, unfilled

BySeed = Mapping[int, float]
Difference = Callable[[BySeed, BySeed], float]
# Seed 3 is hard for everybody, and only one of the methods has run on it.
METHOD, BASELINE = {0: 0.14, 1: 0.20, 3: 0.40}, {1: 0.22, 0: 0.15, 2: 0.16}


def check_paired_difference(paired_difference: Difference) -> Report:
    """Whether `paired_difference(method, baseline)` of {seed: value} compares each seed with itself, and no other."""
    return examine("The paired difference", paired_difference, _a_number, _common_seeds, _sign, _whatever_the_order)


def _a_number(attempt: Difference) -> Finding:
    """It returns a number"""
    found = attempt(METHOD, BASELINE)
    seen = "it returns nothing yet" if unfilled(found) else f"it returns {found!r}"
    return Finding(_a_number.__doc__, isinstance(found, float), seen)


def _common_seeds(attempt: Difference) -> Finding:
    """It counts the seeds that both have, and no other"""
    found, wanted = attempt(METHOD, BASELINE), -0.015
    seen = f"{found:+.4f} where the mean of −0.01 and −0.02 is {wanted:+.4f}"
    return Finding(_common_seeds.__doc__, math.isclose(abs(found), abs(wanted), abs_tol=1e-9), seen)


def _sign(attempt: Difference) -> Finding:
    """It is method minus baseline"""
    return Finding(_sign.__doc__, attempt(METHOD, BASELINE) < 0 < attempt(BASELINE, METHOD), "the other way round")


def _whatever_the_order(attempt: Difference) -> Finding:
    """The order in which the seeds are listed does not matter"""
    turned = dict(reversed(METHOD.items()))
    alike = math.isclose(attempt(turned, BASELINE), attempt(METHOD, BASELINE), abs_tol=1e-9)
    return Finding(_whatever_the_order.__doc__, alike, "it changes the result")
