"""Metrics of one run, and the statistics that compare runs. Needs numpy only."""

from xmkd_lib.evaluation.classification import accuracy
from xmkd_lib.evaluation.similarity import cka
from xmkd_lib.evaluation.spread import Spread, effective_rank, spread
from xmkd_lib.evaluation.statistics import (
    PairedDifference,
    bootstrap_interval,
    holm,
    p_floor,
    paired_difference,
)
from xmkd_lib.evaluation.verification import DetCurve, det_curve, eer, min_dcf, trial_scores

__all__ = [
    "DetCurve",
    "PairedDifference",
    "Spread",
    "accuracy",
    "bootstrap_interval",
    "cka",
    "det_curve",
    "eer",
    "effective_rank",
    "holm",
    "min_dcf",
    "p_floor",
    "paired_difference",
    "spread",
    "trial_scores",
]
