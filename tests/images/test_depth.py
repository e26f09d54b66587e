from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image

from deeplab.images import read_header, read_image

from ._pictures import png_16_bit, refused, saved


def tiff_16_bit(folder, values, *, order):
    """An uncompressed 16-bit RGB TIFF in the byte order "<" or ">"."""
    height, width, _ = values.shape
    pixels = values.astype(f"{order}u2").tobytes()
    bits_at = 8 + len(pixels)
    tags_at = bits_at + 6
    tags = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 3, bits_at),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, 8),
        (277, 3, 1, 3),
        (278, 4, 1, height),
        (279, 4, 1, len(pixels)),
    ]
    directory = struct.pack(f"{order}H", len(tags))
    for tag, kind, count, value in tags:
        short = kind == 3 and count == 1
        directory += struct.pack(f"{order}HHI" + ("HH" if short else "I"), tag, kind, count, value, *[0] * short)
    path = folder / "image.tif"
    start = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}HI", 42, tags_at)
    path.write_bytes(start + pixels + struct.pack(f"{order}HHH", 16, 16, 16) + directory + bytes(4))
    return path


@pytest.mark.parametrize(
    ("peak", "expected"),
    [
        (255, [0, 255]),
        (1023, [0, 255]),
        (4095, [0, 255]),
        (16383, [0, 255]),
        (65535, [0, 255]),
        (500, [0, 125]),
    ],
)
def test_16_bit_grey_is_scaled_by_the_smallest_depth_that_holds_it(tmp_path, peak, expected):
    path = saved(tmp_path, Image.fromarray(np.array([[0, peak]], dtype=np.uint16)))
    assert read_image(path)[0, :, 1].tolist() == expected


@pytest.mark.parametrize("suffix", ["tif", "png"])
def test_16_bit_grey_keeps_its_order_in_every_container(tmp_path, suffix):
    values = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
    path = saved(tmp_path, Image.fromarray(values), f"grey.{suffix}")
    np.testing.assert_array_equal(read_image(path)[..., 0].ravel(), np.arange(256))


def test_big_endian_16_bit_grey_is_read_upright(tmp_path):
    image = Image.frombytes("I;16B", (2, 1), struct.pack(">HH", 0, 65535))
    exif = Image.Exif()
    exif[0x0112] = 3
    path = saved(tmp_path, image, "grey.tif", exif=exif)
    assert read_image(path)[0, :, 0].tolist() == [255, 0]


@pytest.mark.parametrize("write", [png_16_bit, tiff_16_bit])
def test_12_bit_colours_in_16_bit_files_are_not_black(tmp_path, write):
    order = {"order": "<"} if write is tiff_16_bit else {}
    path = write(tmp_path, np.array([[[0, 4095, 2048], [1024, 16, 4080]]]), **order)
    assert read_image(path).tolist() == [[[0, 255, 128], [64, 1, 254]]]


@pytest.mark.parametrize("bits", [10, 14, 16])
def test_the_largest_colour_of_every_depth_is_white(tmp_path, bits):
    path = png_16_bit(tmp_path, np.array([[[0, 2**bits - 1, 2 ** (bits - 1)]]]))
    assert read_image(path).tolist() == [[[0, 255, 128]]]
    assert read_header(path).deep


@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bit_tiff_colours_are_read_in_both_byte_orders(tmp_path, order):
    path = tiff_16_bit(tmp_path, np.array([[[0, 65535, 256 * 100], [1, 2, 3]]]), order=order)
    assert read_image(path).tolist() == [[[0, 255, 100], [0, 0, 0]]]


def test_16_bit_colours_with_alpha_are_read(tmp_path):
    path = png_16_bit(tmp_path, np.array([[[65535, 0, 0, 65535], [0, 0, 0, 0]]]))
    assert read_image(path).tolist() == [[[255, 0, 0], [255, 255, 255]]]


@pytest.mark.parametrize("grey", [False, True])
def test_12_bit_images_with_alpha_are_not_black(tmp_path, grey):
    colors = np.array([[[0] * 3, [4095] * 3, [1024] * 3]])
    alpha = np.array([[[65535], [65535], [0]]])
    path = png_16_bit(tmp_path, np.concatenate([colors[..., :1] if grey else colors, alpha], axis=2))
    assert read_image(path).tolist() == [[[0] * 3, [255] * 3, [255] * 3]]


def test_a_compressed_16_bit_black_image_is_black(tmp_path):
    np.testing.assert_array_equal(read_image(png_16_bit(tmp_path, np.zeros((2, 2, 3), dtype=int))), 0)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 0.5, 1], [0, 128, 255]),
        ([0, 0.5, 1.02], [0, 128, 255]),  # as after bicubic scaling
        ([0, 100, 255], [0, 100, 255]),
        ([0, 2048, 4095], [0, 128, 255]),
    ],
)
def test_float_images_are_scaled_by_their_range(tmp_path, values, expected):
    path = saved(tmp_path, Image.fromarray(np.array([values], dtype=np.float32)), "float.tif")
    assert read_image(path)[0, :, 0].tolist() == expected


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -9999, 70000])
def test_float_pixels_that_are_no_brightness_are_named(tmp_path, bad):
    values = np.zeros((3, 4), dtype=np.float32)
    values[1, 2] = bad
    path = saved(tmp_path, Image.fromarray(values), "float.tif")
    refused(lambda: read_image(path), path, "(row 1, column 2)", bad, "outside 0..65535")


def test_32_bit_images_within_16_bits_are_scaled_like_those(tmp_path):
    path = saved(tmp_path, Image.fromarray(np.array([[0, 1023]], dtype=np.int32)), "wide.tif")
    assert read_image(path)[0, :, 0].tolist() == [0, 255]
