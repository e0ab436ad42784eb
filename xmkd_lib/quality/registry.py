"""Where quality estimators are entered, and what each must keep to."""

from typing import Protocol

from torch import Tensor

from xmkd_lib.registry import Registry

ESTIMATORS = Registry("quality estimator")


class Estimator(Protocol):
    """Scores a batch: (n, ...) inputs of one modality to (n,), higher is better; one sample to a scalar."""

    def __call__(self, batch: Tensor) -> Tensor: ...
