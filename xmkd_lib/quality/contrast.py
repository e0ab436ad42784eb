"""Image contrast."""

from torch import Tensor

from xmkd_lib.quality.inputs import luminance
from xmkd_lib.quality.registry import ESTIMATORS


@ESTIMATORS.register("image.contrast")
class Contrast:
    """RMS contrast: standard deviation of the luminance, (n,) in [0, 0.5], of images (n, 3 or 1, H, W) in [0, 1].

    A constant image gets 0. One image (C, H, W) gives a scalar. UserError on other shapes or on integer pixels.

    Measured sign: positive for haze. Spearman with the share of grey mixed in (0 to 90 %): -0.81 on 600 emoji, -0.96 on
    120 MNIST digits, -0.83 on 600 drawn faces. Nearly blind to blur on emoji and faces (-0.22, -0.20; digits -0.80),
    and noise raises it there (+0.05, +0.39). On held-out hazed faces it predicts the teacher's errors: gain 0.54.
    Source: Peli, "Contrast in complex images", JOSA A 7 (1990).

    >>> import torch
    >>> stripes = torch.tensor([0.0, 1.0]).repeat(8).expand(1, 16, 16)
    >>> Contrast()(torch.stack([stripes, 0.2 * stripes, 0 * stripes]))
    tensor([0.5000, 0.1000, 0.0000])
    """

    def __call__(self, batch: Tensor) -> Tensor:
        grey = luminance(batch, "image.contrast")
        if not grey.numel():  # no images; std would warn
            return grey.new_zeros(0)
        return grey.std((-2, -1), correction=0)
