"""Sample quality: `create(name)` scores a batch, `fit` maps scores to [0, 1], `weights` to weights with mean 1."""

from xmkd_lib.quality import (  # noqa: F401  they register themselves
    cca,
    centre_ratio,
    clipping,
    confidence,
    contrast,
    duration,
    energy_snr,
    exposure,
    external,
    in_vocabulary,
    logit_margin,
    neg_entropy,
    norm,
    resolution,
    sharpness,
    stability,
    text_length,
    wada_snr,
)
from xmkd_lib.quality.cca import CCA, fit_cca
from xmkd_lib.quality.registry import ESTIMATORS, Estimator, PairEstimator, TeacherEstimator
from xmkd_lib.quality.validation import RejectCurve, error_versus_reject, spearman
from xmkd_lib.quality.weights import EmpiricalCDF, combine, effective_sample_size, fit, inverted, permuted, weights

__all__ = [
    "CCA",
    "ESTIMATORS",
    "EmpiricalCDF",
    "Estimator",
    "PairEstimator",
    "RejectCurve",
    "TeacherEstimator",
    "combine",
    "create",
    "effective_sample_size",
    "error_versus_reject",
    "fit",
    "fit_cca",
    "inverted",
    "names",
    "permuted",
    "register",
    "spearman",
    "weights",
]

create = ESTIMATORS.create
register = ESTIMATORS.register


def names() -> list[str]:
    """Names of all estimators, sorted.

    >>> {"image.sharpness", "speech.wada_snr", "teacher.confidence", "pair.cca"} <= set(names())
    True
    """
    return sorted(ESTIMATORS)
