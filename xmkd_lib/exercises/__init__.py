"""Checks of the notebooks' exercises: each takes what the reader has written and says what is right about it."""

from xmkd_lib.exercises.base import Finding, Report, examine, unfilled
from xmkd_lib.exercises.embedding import effective_rank

__all__ = ["Finding", "Report", "effective_rank", "examine", "unfilled"]
