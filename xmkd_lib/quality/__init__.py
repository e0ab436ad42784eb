"""Sample quality: `create(name)` scores a batch, `fit` maps scores to [0, 1], `weights` to weights with mean 1."""

from xmkd_lib.quality import energy_snr, sharpness  # noqa: F401  they register themselves
from xmkd_lib.quality.registry import ESTIMATORS, Estimator
from xmkd_lib.quality.weights import EmpiricalCDF, combine, effective_sample_size, fit, permuted, weights

__all__ = [
    "EmpiricalCDF",
    "Estimator",
    "combine",
    "create",
    "effective_sample_size",
    "fit",
    "names",
    "permuted",
    "register",
    "weights",
]

create = ESTIMATORS.create
register = ESTIMATORS.register


def names() -> list[str]:
    """Names of all estimators, sorted.

    >>> names()
    ['image.sharpness', 'speech.energy_snr']
    """
    return sorted(ESTIMATORS)
