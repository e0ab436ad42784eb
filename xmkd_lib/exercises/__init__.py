"""Checks of the notebooks' exercises: each takes what the reader has written and says what is right about it."""

from xmkd_lib.exercises.base import Finding, Report, examine, unfilled
from xmkd_lib.exercises.quality_weights import check_weights

__all__ = ["Finding", "Report", "check_weights", "examine", "unfilled"]
