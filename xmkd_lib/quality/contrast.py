"""Image contrast."""

from torch import Tensor

from xmkd_lib.quality.inputs import luminance
from xmkd_lib.quality.registry import ESTIMATORS


@ESTIMATORS.register("image.contrast")
class Contrast:
    """RMS contrast: standard deviation of the luminance, (n,) in [0, 0.5], of images (n, 3 or 1, H, W) in [0, 1].

    A constant image gets 0. One image (C, H, W) gives a scalar. UserError on other shapes or on integer pixels.
    Source: Peli, "Contrast in complex images", JOSA A 7 (1990).

    >>> import torch
    >>> stripes = torch.tensor([0.0, 1.0]).repeat(8).expand(1, 16, 16)
    >>> Contrast()(torch.stack([stripes, 0.2 * stripes, 0 * stripes]))
    tensor([0.5000, 0.1000, 0.0000])
    """

    def __call__(self, batch: Tensor) -> Tensor:
        return luminance(batch, "image.contrast").std((-2, -1), correction=0)
