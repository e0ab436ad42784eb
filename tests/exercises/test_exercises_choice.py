"""Exercise of 00: only the choice on validation, at the chosen epoch, is accepted."""

import pytest

from xmkd_lib.exercises import check_best_method


def by(column):
    return lambda results: min(results, key=lambda name: results[name][column])


def test_stub_and_solution(attempts):
    stub, solution = attempts("00_quickstart")
    assert "nothing yet" in str(check_best_method(stub["best_method"]))
    assert check_best_method(solution["best_method"]).passed


@pytest.mark.parametrize("column", ["train_eer_best", "val_eer", "test_eer", "test_eer_best"])
def test_a_choice_by_another_column_is_named(column):
    report = check_best_method(by(column))
    assert not report.passed
    assert "yours is the best by" in str(report)
    assert column in str(report)


def test_more_wrong_attempts():
    def mixed(results):  # right on the surface, but the test decides ties
        return min(results, key=lambda n: (results[n]["val_eer_best"], results[n].get("test_eer", 0)))

    def peeks(results):
        return "honest" if "test_eer" in results["honest"] else "late"

    assert check_best_method(mixed).passed  # no tie, no harm: what it reads cannot be seen from outside
    assert "the answer changes" in str(check_best_method(peeks))
    assert not check_best_method(lambda results: min(results)[::-1]).passed
    assert not check_best_method(lambda results: 0.1).passed
    assert not check_best_method(None).passed
