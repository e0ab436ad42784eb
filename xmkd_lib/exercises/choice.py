"""Exercise of 00: which student would you ship?"""

import random
from collections.abc import Callable, Mapping

from xmkd_lib.exercises.base import Outcome, Report, examine, unfilled

Results = dict[str, dict[str, float]]
BestMethod = Callable[[Mapping[str, Mapping[str, float]]], str]
COLUMNS = ("train_eer_best", "val_eer", "val_eer_best", "test_eer", "test_eer_best")
NAMES = ("none", "soft_feature", "hard_feature", "soft")
TRIALS = 40  # tables, drawn at random: no rule but the right one picks alike in all


def check_best_method(best_method: BestMethod) -> Report:
    """Whether `best_method(results)` picks by the validation figure of the chosen epoch, and by nothing of the test."""
    return examine("The student to ship", best_method, _a_name, _by_validation, _blind_to_the_test)


def _made_up(seed: int) -> Results:
    """Made-up results of four methods in any order; a new table in each call, whatever became of an earlier one."""
    draw = random.Random(seed)
    return {name: {column: draw.uniform(0.05, 0.4) for column in COLUMNS} for name in draw.sample(NAMES, len(NAMES))}


def _best_by(results: Results, column: str) -> str:
    return min(results, key=lambda name: results[name][column])


def _a_name(attempt: BestMethod) -> Outcome:
    """It returns one of the methods' names"""
    found = attempt(_made_up(0))
    seen = "it returns nothing yet" if unfilled(found) else f"it returns {found!r}"
    return isinstance(found, str) and found in NAMES, seen


def _by_validation(attempt: BestMethod) -> Outcome:
    """It picks the lowest EER on validation data, at the epoch chosen there"""
    tables = [_made_up(seed) for seed in range(TRIALS)]
    picked = [attempt(_made_up(seed)) for seed in range(TRIALS)]
    alike = [column for column in COLUMNS if picked == [_best_by(table, column) for table in tables]]
    seen = f"yours is the best by {alike[0]}" if alike else "on some of 40 made-up tables yours is another one"
    return alike == ["val_eer_best"], seen


def _blind_to_the_test(attempt: BestMethod) -> Outcome:
    """It gives the same answer whatever the test figures are, and where there are none"""
    for seed in range(TRIALS):
        hidden = {n: {k: v for k, v in row.items() if not k.startswith("test")} for n, row in _made_up(seed).items()}
        if attempt(hidden) != _best_by(_made_up(seed), "val_eer_best"):
            return False, "the answer changes"
    return True, ""
