"""Exercise of 00: only the choice on validation, at the chosen epoch, is accepted."""

import pytest

from xmkd_lib.exercises import check_best_method


def by(column):
    return lambda results: min(results, key=lambda name: results[name][column])


@pytest.mark.parametrize("column", ["train_eer_best", "val_eer", "test_eer", "test_eer_best"])
def test_a_choice_by_another_column_is_named(column):
    report = check_best_method(by(column))
    assert not report.passed
    assert "yours is the best by" in str(report)
    assert column in str(report)


def test_more_wrong_attempts():
    def peeks(results):
        best = by("val_eer_best")(results)
        return best if "test_eer" in results[best] else "none"

    assert "the answer changes" in str(check_best_method(peeks))
    for key in (
        lambda row: abs(row["val_eer_best"] - row["train_eer_best"]),
        lambda row: row["val_eer_best"] + row["train_eer_best"],
        lambda row: row["val_eer_best"] + row.get("test_eer", 0),
        lambda row: -row["val_eer_best"],
    ):
        report = check_best_method(lambda results, key=key: min(results, key=lambda name: key(results[name])))
        assert "yours is another one" in str(report)
    for wrong in (lambda r: "soft", lambda r: list(r)[2], lambda r: 0.1, lambda r: exit(), None):
        assert not check_best_method(wrong).passed


def test_an_attempt_that_destroys_its_input_spoils_no_later_one():
    assert not check_best_method(lambda results: [row.clear() for row in results.values()] and "none").passed
    assert check_best_method(by("val_eer_best")).passed
