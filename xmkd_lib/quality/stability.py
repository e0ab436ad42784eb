"""Stability of the teacher under augmentation."""

from torch import Tensor

from xmkd_lib.errors import UserError
from xmkd_lib.losses.base import unit
from xmkd_lib.quality.inputs import tensor
from xmkd_lib.quality.registry import ESTIMATORS


@ESTIMATORS.register("teacher.stability")
class Stability:
    """Minus the spread of a row's augmented views, (n,) in [−1, 0], of their embeddings (n, V, D).

    The spread is the variance of the unit vectors, 1 − ‖mean‖². A zero vector counts as pointing nowhere. UserError on
    other shapes and on fewer than two views.

    Measured sign: not reliable. 600 held-out drawn faces, 8 views shifted by up to 2 pixels: positive for noise
    (Spearman -0.49, gain on the teacher's errors 0.40), none for blur (+0.07, 0.06), and reversed for haze (+0.66,
    -0.32) and overexposure (+0.26, -0.21): where less is seen, views differ less. Blind to wrong pairs (-0.08).
    Source: our reading of Terhörst et al., "SER-FIQ", CVPR 2020, with augmentation in the place of dropout.

    >>> import torch
    >>> Stability()(torch.tensor([[[1.0, 0.0], [2.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]])).round(decimals=4)
    tensor([ 0.0000, -0.5000])
    """

    def __call__(self, views: Tensor) -> Tensor:
        tensor(views, "teacher.stability")
        if views.ndim != 3 or views.shape[1] < 2:
            raise UserError(f"teacher.stability: shape {tuple(views.shape)}. Give views (n, V, D), at least two a row.")
        return (unit(views.float()).mean(1).square().sum(-1) - 1).clamp(-1, 0)  # rounding leads out
