"""Exercise of 06: each seed with itself."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from xmkd_lib.exercises import check_paired_difference


def means_of_all(method, baseline):
    return float(np.mean(list(method.values())) - np.mean(list(baseline.values())))


def zipped(method, baseline):
    return float(np.mean([a - b for a, b in zip(method.values(), baseline.values(), strict=False)]))


def holes_are_zero(method, baseline):
    return sum(method.get(s, 0) - baseline.get(s, 0) for s in method | baseline) / len(method | baseline)


def baseline_minus_method(method, baseline):
    return sum(baseline[s] - method[s] for s in method.keys() & baseline.keys()) / 2


def by_place(method, baseline):
    first, second = list(method.values())[:2]
    return (first - baseline[0] + second - baseline[1]) / 2


def common(method, baseline):
    return [method[seed] - baseline[seed] for seed in sorted(method.keys() & baseline.keys())]


def only_some(method, baseline):
    return sum(common(method, baseline)[:2]) / 2


WRONG = [
    means_of_all, zipped, holes_are_zero, baseline_minus_method, by_place, only_some, 3,
    lambda m, b: float(np.median(common(m, b))),
    lambda m, b: (min(common(m, b)) + max(common(m, b))) / 2,
    lambda m, b: sum(common(m, b)) / 2,
    lambda m, b: sum(common(m, b)) / (len(m) - 1),
    lambda m, b: str(np.mean(common(m, b))),
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_attempts(wrong):
    assert not check_paired_difference(wrong).passed


@pytest.mark.parametrize("kind", [float, np.float32, np.array, torch.tensor, Fraction])
def test_any_kind_of_number_is_right(kind):
    assert check_paired_difference(lambda m, b: kind(float(np.mean(common(m, b))))).passed


def test_an_attempt_that_changes_its_input_spoils_no_later_one():
    def pops(method, baseline):
        for seed in method.keys() ^ baseline.keys():
            method.pop(seed, None)
            baseline.pop(seed, None)
        return means_of_all(method, baseline)

    check_paired_difference(pops)
    assert not check_paired_difference(means_of_all).passed
