"""Metrics of one run, and the statistics that compare runs. Needs numpy only."""

from xmkd_lib.evaluation.classification import accuracy
from xmkd_lib.evaluation.similarity import cka
from xmkd_lib.evaluation.statistics import (
    PairedDifference,
    bootstrap_interval,
    holm,
    p_floor,
    paired_difference,
)
from xmkd_lib.evaluation.verification import eer, min_dcf, trial_scores

__all__ = [
    "PairedDifference",
    "accuracy",
    "bootstrap_interval",
    "cka",
    "eer",
    "holm",
    "min_dcf",
    "p_floor",
    "paired_difference",
    "trial_scores",
]
