"""Exercise of 06: each seed with itself."""

import numpy as np
import pytest

from xmkd_lib.exercises import check_paired_difference


def test_stub_and_solution(attempts):
    stub, solution = attempts("06_ablation_report")
    assert "nothing yet" in str(check_paired_difference(stub["paired_difference"]))
    assert check_paired_difference(solution["paired_difference"]).passed


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


@pytest.mark.parametrize("wrong", [means_of_all, zipped, holes_are_zero, baseline_minus_method, by_place, 3])
def test_wrong_attempts(wrong):
    assert not check_paired_difference(wrong).passed
