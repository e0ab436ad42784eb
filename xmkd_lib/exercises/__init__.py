"""Checks of the notebooks' exercises: each takes what the reader has written and says what is right about it."""

from xmkd_lib.exercises.base import Finding, Report, examine, unfilled
from xmkd_lib.exercises.similarity import check_cka

__all__ = ["Finding", "Report", "check_cka", "examine", "unfilled"]
