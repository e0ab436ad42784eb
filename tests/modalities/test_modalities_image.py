import numpy as np
import pytest
import torch
from PIL import Image

from xmkd_lib.errors import UserError
from xmkd_lib.modalities import read_image


def saved(tmp_path, image, ending="png", **options):
    path = tmp_path / f"image.{ending}"
    image.save(path, **options)
    return path


def test_pixels_are_kept_where_the_size_fits(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    image = read_image(saved(tmp_path, Image.fromarray(pixels)), (4, 6))
    assert image.shape == (3, 4, 6)
    assert image.dtype == torch.float32
    np.testing.assert_array_equal((image * 255).round().numpy(), pixels.transpose(2, 0, 1))


def test_resizes_to_height_and_width(tmp_path):
    halves = np.zeros((20, 40), dtype=np.uint8)
    halves[:, 20:] = 255
    path = str(saved(tmp_path, Image.fromarray(halves)))
    image = read_image(path, (5, 8))
    assert image.shape == (3, 5, 8)
    assert image[:, :, :3].max() == 0
    assert image[:, :, 5:].min() == 1
    assert read_image(path, 7).shape == (3, 7, 7)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    image = read_image(saved(tmp_path, Image.new("RGB", (4, 4), "white").convert(mode), "tiff"), 4)
    torch.testing.assert_close(image, torch.ones(3, 4, 4))


def test_transparent_parts_are_white(tmp_path):
    image = read_image(saved(tmp_path, Image.new("RGBA", (4, 4), (255, 0, 0, 0))), 4)
    torch.testing.assert_close(image, torch.ones(3, 4, 4))


def test_a_turned_photograph_is_set_upright(tmp_path):
    turned = Image.new("RGB", (6, 4))
    turned.getexif()[0x0112] = 6  # orientation: turn by 90 degrees
    assert read_image(saved(tmp_path, turned, "jpg", exif=turned.getexif()), (6, 4)).shape == (3, 6, 4)
    turned.putpixel((0, 0), (255, 255, 255))  # top left of the file is top right of the scene
    assert read_image(saved(tmp_path, turned, exif=turned.getexif()), (6, 4))[0].nonzero().tolist() == [[0, 3]]


def truncated(path, ending, keep):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    whole = path.with_suffix("." + ending)
    Image.fromarray(pixels).save(whole)
    path.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * keep)])


def bad_checksum(path):
    truncated(path, "png", 1)
    content = bytearray(path.read_bytes())
    content[50] ^= 255
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (lambda path: None, "no such image file"),
        (lambda path: path.mkdir(), "no such image file"),
        (lambda path: path.write_text("no image"), "not a readable image"),
        (lambda path: path.write_bytes(b""), "not a readable image"),
        (lambda path: truncated(path, "png", 0.5), "not a readable image"),
        (lambda path: truncated(path, "jpg", 0.5), "not a readable image"),
        (lambda path: truncated(path, "gif", 0.3), "not a readable image"),
        (bad_checksum, "not a readable image"),
    ],
)
def test_bad_images_are_named(tmp_path, write, says):
    path = tmp_path / "bad.image"
    write(path)
    with pytest.raises(UserError, match=says) as caught:
        read_image(path, 8)
    assert str(path) in str(caught.value)


def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch):
    path = saved(tmp_path, Image.new("L", (100, 100)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(UserError, match="too many pixels") as caught:
        read_image(path, 8)
    assert str(path) in str(caught.value)


def test_an_impossible_size_is_refused(tmp_path):
    with pytest.raises(UserError, match="0 x 4"):
        read_image(saved(tmp_path, Image.new("L", (4, 4))), (0, 4))


def test_a_path_that_is_too_long_is_no_file():
    with pytest.raises(UserError, match="no such image file"):
        read_image("a" * 300 + ".png", 8)
