"""Every image file ends in the right array, or in one line that names the file and the way out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deeplab.errors import ImageError
from deeplab.images import read_image, read_labels, read_small, reading, resize_image

from ._pictures import COLOR, plain, png_16_bit, refused, saved


@pytest.mark.parametrize("mode", ["RGB", "CMYK", "YCbCr", "HSV", "RGBA", "RGBX"])
def test_colour_modes_become_rgb(mode):
    image = read_image(plain(COLOR, mode))
    assert image.shape == (3, 4, 3)
    assert image.dtype == np.uint8
    assert np.abs(image.astype(int) - COLOR).max() <= 3  # YCbCr and HSV round


@pytest.mark.parametrize("mode", ["L", "LA", "1"])
def test_grey_modes_become_three_equal_bands(mode):
    np.testing.assert_array_equal(read_image(plain((255, 255, 255), mode)), 255)
    np.testing.assert_array_equal(read_image(plain((0, 0, 0), mode)), 0)


@pytest.mark.parametrize("mode", ["PA", "RGBa", "I;16L", "I;16B"])
def test_rare_modes_are_read(mode):
    assert read_image(Image.new(mode, (4, 3))).shape == (3, 4, 3)


def test_a_mode_without_a_way_to_rgb_is_refused():
    refused(lambda: read_image(Image.new("La", (4, 3))), "La", "save it as 8-bit PNG")


def test_a_palette_image_has_the_colours_of_its_palette(tmp_path):
    image = Image.fromarray(np.array([[0, 2, 1]], dtype=np.uint8))
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    assert read_image(saved(tmp_path, image)).tolist() == [[[10, 20, 30], [70, 80, 90], [40, 50, 60]]]


def test_a_cmyk_jpeg_has_its_colours(tmp_path):
    path = saved(tmp_path, plain(COLOR, "CMYK"), "print.jpg", quality=95)
    assert np.abs(read_image(path).astype(int) - COLOR).max() <= 6  # lossy


def test_channels_are_red_green_blue(tmp_path):
    path = saved(tmp_path, plain((255, 0, 0)))
    assert read_image(path)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_pixels_are_white_whatever_colour_they_hide(tmp_path, mode):
    image = Image.new("RGBA", (4, 3), (0, 0, 0, 0))
    np.testing.assert_array_equal(read_image(saved(tmp_path, image.convert(mode))), 255)


def test_half_transparent_pixels_are_mixed_with_white(tmp_path):
    image = Image.new("RGBA", (4, 3), (0, 100, 200, 51))  # a fifth of the colour
    assert read_image(saved(tmp_path, image))[0, 0].tolist() == [204, 224, 244]


def test_a_transparent_palette_entry_is_white(tmp_path):
    image = Image.fromarray(np.array([[0, 1]], dtype=np.uint8))
    image.putpalette([10, 20, 30, 40, 50, 60])
    path = saved(tmp_path, image, transparency=1)
    assert read_image(path).tolist() == [[[10, 20, 30], [255, 255, 255]]]


def test_a_transparent_colour_of_an_rgb_file_is_white(tmp_path):
    path = saved(tmp_path, plain(COLOR), transparency=COLOR)
    np.testing.assert_array_equal(read_image(path), 255)


@pytest.mark.parametrize("name", ["moving.gif", "pages.tif", "moving.webp", "moving.png"])
def test_the_first_frame_counts(tmp_path, name):
    frames = [plain((255, 255, 255)), plain((0, 0, 0)), plain(COLOR)]
    path = saved(tmp_path, frames[0], name, save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(read_image(path), 255)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2), (17, 13)])
def test_tiny_and_odd_sizes_are_read(tmp_path, make_image, size):
    image = make_image(*size)
    np.testing.assert_array_equal(read_image(saved(tmp_path, Image.fromarray(image))), image)


def test_an_array_is_copied(make_image):
    array = make_image(3, 4)
    image = read_image(array)
    array[:] = 0
    assert image.any()


def test_a_flipped_read_only_array_becomes_a_plain_one(make_image):
    array = make_image(3, 4)[:, ::-1, ::-1]
    array.flags.writeable = False
    image = read_image(array)
    np.testing.assert_array_equal(image, array)
    assert image.flags.c_contiguous
    assert image.flags.writeable


def test_a_grey_array_becomes_three_equal_bands():
    grey = np.array([[0, 7], [8, 255]], dtype=np.uint8)
    np.testing.assert_array_equal(read_image(grey), grey[..., np.newaxis].repeat(3, axis=-1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint16, np.int64, np.bool_, object])
def test_an_array_of_another_type_is_refused_with_the_way_out(dtype):
    refused(lambda: read_image(np.zeros((3, 4, 3), dtype)), np.dtype(dtype), "(3, 4, 3)", ".astype('uint8')")


@pytest.mark.parametrize(
    ("shape", "way_out"),
    [
        ((3, 4, 1), "array[..., 0]"),
        ((3, 4, 4), "array[..., :3]"),
        ((3, 20, 40), "transpose(1, 2, 0)"),
        ((1, 20, 40, 3), "one image at a time"),
        ((20, 40, 7), "three bands"),
        ((20, 40, 2), "three bands"),
        ((20,), "three bands"),
    ],
)
def test_an_array_of_another_shape_is_refused_with_the_way_out(shape, way_out):
    refused(lambda: read_image(np.zeros(shape, np.uint8)), shape, way_out)


@pytest.mark.parametrize("shape", [(0, 4, 3), (4, 0), (0, 0, 3)])
def test_an_array_without_pixels_is_refused(shape):
    refused(lambda: read_image(np.zeros(shape, np.uint8)), shape, "no pixels")


def test_a_pillow_image_without_pixels_is_refused():
    refused(lambda: read_image(Image.new("RGB", (0, 4))), "4 x 0")


def test_a_pillow_image_that_was_closed_is_refused(tmp_path):
    image = Image.open(saved(tmp_path, plain(COLOR)))
    image.close()
    refused(lambda: read_image(image), "image.png")


@pytest.mark.parametrize("source", [None, 7, [[0, 1]], b"bytes"])
def test_what_is_no_image_is_refused(source):
    refused(lambda: read_image(source), type(source).__name__)


def test_real_masks_and_photos_are_read(shared: Path):
    folder = shared / "data" / "camvid" / "val"
    image = sorted((folder / "images").iterdir())[0]
    mask = folder / "masks" / f"{image.stem}.png"
    assert read_image(image).shape == (360, 480, 3)
    assert set(np.unique(read_labels(mask))) <= {*range(11), 255}


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("peak", "white"), [(255, 255), (256, 1023), (1023, 1023), (1024, 4095), (16383, 16383), (16384, 65535)]
)
def test_a_small_picture_comes_with_the_value_that_is_white(tmp_path, bands, peak, white):
    pixels = np.zeros((3, 4, bands), int)
    pixels[1, 2] = peak
    if bands in (2, 4):
        pixels[..., -1] = 65535  # opaque
    grey = Image.fromarray(pixels[..., 0].astype(np.uint16))
    path = saved(tmp_path, grey) if bands == 1 else png_16_bit(tmp_path, pixels)
    assert read_small(path, (32, 32))[0].white == white
    assert read_image(path).max() == np.rint(255 * peak / white)


def test_a_small_picture_of_8_bits_or_of_floats_up_to_1_has_a_white_too(tmp_path, make_image):
    assert read_small(saved(tmp_path, Image.fromarray(make_image(30, 40))), (32, 32))[0].white is None
    floats = Image.fromarray(np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4))
    assert read_small(saved(tmp_path, floats, "floats.tif"), (32, 32))[0].white == 1


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_small_picture_looks_like_the_large_one(tmp_path, make_image, suffix):
    path = saved(tmp_path, Image.fromarray(make_image(300, 400)), f"photo.{suffix}")
    header, small = read_small(path, (32, 32))
    wanted = resize_image(read_image(path), (32, 32))
    assert (header.size, small.shape, small.dtype) == ((300, 400), (32, 32, 3), np.uint8)
    assert np.abs(small.astype(int) - wanted).max() <= 8  # a JPEG comes shrunk out of its decoder


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_small_picture_of_a_damaged_file_is_refused(tmp_path, make_image, suffix):
    path = saved(tmp_path, Image.fromarray(make_image(300, 400)), f"photo.{suffix}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ImageError, match=r"cannot be read \(image file is truncated"):
        read_small(path, (32, 32))


@pytest.mark.parametrize("size", [(23, 31), (24, 32), (3, 300)])
def test_a_large_image_read_strip_by_strip_is_the_same(tmp_path, monkeypatch, make_image, size):
    image = make_image(*size)
    monkeypatch.setattr(reading, "STRIP", 128)  # 4 rows, or less than one
    assert np.array_equal(read_image(saved(tmp_path, Image.fromarray(image))), image)
