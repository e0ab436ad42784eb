"""Image sharpness."""

from torch import Tensor

from xmkd_lib.quality.inputs import luminance
from xmkd_lib.quality.registry import ESTIMATORS

FLOOR = 1e-10  # variance of a constant image: below one step of 16-bit pixels


@ESTIMATORS.register("image.sharpness")
class Sharpness:
    """ln of the variance of the luminance's Laplacian, (n,), of images (n, 3 or 1, H, W), floats in [0, 1].

    Higher is sharper; a constant image gets ln 1e-10. One image (C, H, W) gives a scalar. UserError on other
    shapes or on integer pixels.

    Measured sign: positive for focus. Spearman with the width of a Gaussian blur (uniform in 0 to 3 pixels): -0.93 on
    600 emoji, -0.98 on 120 MNIST digits, -0.94 on 600 drawn faces. Reverses with noise (width 0 to 0.2): +0.89, +0.45,
    +0.98; on noisy held-out faces it keeps the teacher's errors, gain -0.33 (blurred ones: 0.40). Where faces have both
    (table of `people`, blur 0 to 3, noise 0.01 to 0.04) only -0.62 with the blur: see image.resolution.
    Source: Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000.

    >>> import torch
    >>> stripes = torch.tensor([0.0, 1.0]).repeat(8).expand(1, 16, 16)
    >>> Sharpness()(torch.stack([stripes, 0 * stripes])).round(decimals=2)
    tensor([  1.3900, -23.0300])
    """

    def __call__(self, batch: Tensor) -> Tensor:
        grey = luminance(batch, "image.sharpness", least=3)
        if not grey.numel():  # no images; var would warn
            return grey.new_zeros(0)
        vertical = grey[..., :-2, 1:-1] + grey[..., 2:, 1:-1]
        horizontal = grey[..., 1:-1, :-2] + grey[..., 1:-1, 2:]
        laplacian = vertical + horizontal - 4 * grey[..., 1:-1, 1:-1]
        return laplacian.var((-2, -1), correction=0).clamp_min(FLOOR).log()
