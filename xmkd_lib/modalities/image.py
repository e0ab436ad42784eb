"""Images: files to tensors."""

import os
from pathlib import Path

import torch
from torch import Tensor

from xmkd_lib.errors import UserError


def read_image(path: str | Path, size: int | tuple[int, int]) -> Tensor:
    """Read an image as (3, H, W) float32 in [0, 1]: upright, transparent parts on white, resized (bilinear).

    size: (H, W), or one number for a square. UserError names the file that is missing, no image, damaged, or
    so large that Pillow refuses it as a decompression bomb.
    """
    import numpy as np
    from PIL import Image, ImageOps

    path = Path(path)
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise UserError(f"{path}: cannot be resized to {height} x {width}. Ask for at least 1 x 1.")
    if not os.path.isfile(path):  # also false for a path that is too long
        raise UserError(f"{path}: there is no such image file. Check the path, or fetch the data set again.")
    try:
        with Image.open(path) as image:
            image = ImageOps.exif_transpose(image)
            if image.has_transparency_data:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            image = image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
    except Image.DecompressionBombError as error:
        raise UserError(f"{path}: too many pixels ({error}). Store it at the size you need.") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:  # Pillow's decoders raise all of these
        raise UserError(
            f"{path}: not a readable image, or a damaged one ({error}). Replace it by a whole file."
        ) from None
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float() / 255
