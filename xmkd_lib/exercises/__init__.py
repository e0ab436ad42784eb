"""Checks of the notebooks' exercises: each takes what the reader has written and says what is right about it."""

from xmkd_lib.exercises.base import Finding, Report, examine, unfilled

__all__ = ["Finding", "Report", "examine", "unfilled"]
