"""Exercise of 05: write a method of your own as a list of terms."""

from typing import Any

from xmkd_lib.errors import UserError
from xmkd_lib.exercises.base import Outcome, Report, examine
from xmkd_lib.objective import Term
from xmkd_lib.settings import Experiment

WANTED = (
    Term(loss="angular", margin="auto", mode="smooth", weight=2.0, warmup=0.1),
    Term(loss="kd", params={"temperature": 2.0}),
)


def check_terms(terms: Any) -> Report:
    """Whether a list says: 2 · smooth angle above the auto margin, from 10 % warm-up; 1 · KD at temperature 2, hard."""
    return examine("A method of your own", terms, _a_list, _accepted, _angular, _distillation, _nothing_else)


def _a_list(attempt: Any) -> Outcome:
    """It is a list of terms"""
    return isinstance(attempt, list) and bool(attempt), f"it is {attempt!r}"


def _accepted(attempt: list) -> Outcome:
    """An experiment accepts it"""
    try:
        Experiment(method=attempt)
    except UserError as error:
        return False, str(error)
    return True, ""


def _angular(attempt: list) -> Outcome:
    """It has 2 · angular: smooth, above the auto margin, with a warm-up of 10 %"""
    return _has(attempt, WANTED[0])


def _distillation(attempt: list) -> Outcome:
    """It has 1 · kd at temperature 2, hard"""
    return _has(attempt, WANTED[1])


def _nothing_else(attempt: list) -> Outcome:
    """It has two terms"""
    return len(attempt) == len(WANTED), f"{len(attempt)}"


def _has(attempt: list, wanted: Term) -> Outcome:
    alike = [term for term in Experiment(method=attempt).terms() if term.loss == wanted.loss]
    seen = ", ".join(f"{term} {term.params or ''}".strip() for term in alike) or "there is none"
    return wanted in alike, f"yours: {seen}"
