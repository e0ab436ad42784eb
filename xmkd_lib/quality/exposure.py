"""Image exposure."""

from torch import Tensor

from xmkd_lib.quality.inputs import luminance
from xmkd_lib.quality.registry import ESTIMATORS

HALF_STEP = 0.5 / 255  # of an 8-bit pixel


@ESTIMATORS.register("image.exposure")
class Exposure:
    """Share of pixels whose luminance is neither black nor white, (n,) in [0, 1], of images (n, 3 or 1, H, W).

    Pixels are floats in [0, 1]. One image (C, H, W) gives a scalar. UserError on other shapes or on integer pixels.

    Measured sign: positive for overexposure where scenes are of middle grey. Spearman with a gain of 1 to 3 that clips:
    -0.78 on 600 drawn faces, -0.67 on 120 MNIST digits, only -0.25 on 600 emoji, drawn on white. Fails or reverses
    elsewhere: blur greys a black or white background (+0.90 on digits, +0.45 on emoji), noise does too (+0.75, +0.34),
    haze leaves it (0.00). On overexposed held-out faces it predicts the teacher's errors: gain 0.53.

    >>> import torch
    >>> Exposure()(torch.tensor([[[0.0, 0.5, 1.0, 1.0]]]))
    tensor(0.2500)
    """

    def __call__(self, batch: Tensor) -> Tensor:
        grey = luminance(batch, "image.exposure")
        return ((grey > HALF_STEP) & (grey < 1 - HALF_STEP)).float().mean((-2, -1))
