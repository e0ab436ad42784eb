"""Exercise of 00: which student would you ship?"""

from collections.abc import Callable, Mapping

from xmkd_lib.exercises.base import Finding, Report, examine, unfilled

BestMethod = Callable[[Mapping[str, Mapping[str, float]]], str]
COLUMNS = ("train_eer_best", "val_eer", "val_eer_best", "test_eer", "test_eer_best")
# In each column another method is the best.
MADE_UP = {
    name: dict(zip(COLUMNS, values, strict=True))
    for name, values in {
        "memoriser": (0.01, 0.25, 0.22, 0.24, 0.23),
        "late": (0.05, 0.12, 0.12, 0.14, 0.14),
        "honest": (0.06, 0.15, 0.10, 0.15, 0.13),
        "lucky": (0.07, 0.14, 0.13, 0.11, 0.10),
    }.items()
}


def check_best_method(best_method: BestMethod) -> Report:
    """Whether `best_method(results)` picks by the validation figure of the chosen epoch, and by nothing of the test."""
    return examine("The student to ship", best_method, _a_name, _by_validation, _blind_to_the_test)


def _a_name(attempt: BestMethod) -> Finding:
    """It returns one of the methods' names"""
    found = attempt(MADE_UP)
    seen = "it returns nothing yet" if unfilled(found) else f"it returns {found!r}"
    return Finding(_a_name.__doc__, isinstance(found, str) and found in MADE_UP, seen)


def _by_validation(attempt: BestMethod) -> Finding:
    """It picks the lowest EER on validation data, at the epoch chosen there"""
    found, wanted = attempt(MADE_UP), min(MADE_UP, key=lambda name: MADE_UP[name]["val_eer_best"])
    by = [column for column in COLUMNS if min(MADE_UP, key=lambda name: MADE_UP[name][column]) == found]
    return Finding(_by_validation.__doc__, found == wanted, f"yours is the best by {' or '.join(by) or 'no column'}")


def _blind_to_the_test(attempt: BestMethod) -> Finding:
    """It gives the same answer where there are no test figures"""
    hidden = {n: {k: v for k, v in row.items() if not k.startswith("test")} for n, row in MADE_UP.items()}
    return Finding(_blind_to_the_test.__doc__, attempt(hidden) == attempt(MADE_UP), "the answer changes")
