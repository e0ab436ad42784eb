"""Exercise of 05: a list of terms, said exactly."""

import pytest

from xmkd_lib.exercises import check_terms

ANGULAR = {"loss": "angular", "margin": "auto", "mode": "smooth", "weight": 2.0, "warmup": 0.1}
KD = {"loss": "kd", "params": {"temperature": 2.0}}


def test_order_and_whole_numbers_do_not_matter():
    assert check_terms([KD, {**ANGULAR, "weight": 2}]).passed


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        ("angular", "a list of terms"),
        ([{"loss": "anglar"}], "Did you mean 'angular'"),
        ([ANGULAR], "1 · kd"),
        ([ANGULAR, {"loss": "kd"}], "1 · kd"),
        ([ANGULAR, {**KD, "margin": 0.5}], "1 · kd"),
        ([{**ANGULAR, "warmup": 10}, KD], "An experiment accepts it"),
        ([{**ANGULAR, "mode": "hinge"}, KD], "yours: 2·angular (hinge"),
        ([{**ANGULAR, "weight": 1.0}, KD], "yours: 1·angular"),
        ([ANGULAR, KD, {"loss": "l2"}], "It has two terms (3)"),
        ([7], "An experiment accepts it"),
    ],
)
def test_wrong_attempts_are_told_what_is_wrong(terms, said):
    report = check_terms(terms)
    assert not report.passed
    assert said in str(report)
