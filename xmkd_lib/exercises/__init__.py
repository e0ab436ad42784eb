"""Checks of the notebooks' exercises: each takes what the reader has written and says what is right about it."""

from xmkd_lib.exercises.base import Finding, Report, examine, unfilled
from xmkd_lib.exercises.choice import check_best_method
from xmkd_lib.exercises.embedding import check_effective_rank
from xmkd_lib.exercises.margin_loss import check_margin_loss
from xmkd_lib.exercises.pairs import check_paired_difference
from xmkd_lib.exercises.quality_weights import check_weights
from xmkd_lib.exercises.similarity import check_cka
from xmkd_lib.exercises.terms import check_terms

__all__ = [
    "Finding",
    "Report",
    "check_best_method",
    "check_cka",
    "check_effective_rank",
    "check_margin_loss",
    "check_paired_difference",
    "check_terms",
    "check_weights",
    "examine",
    "unfilled",
]
