"""Every image and mask file ends in the right array, or in one line that names the file and the way out."""

from __future__ import annotations

import base64
import io
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deeplab.errors import ImageError, InputNotFoundError, OutputError
from deeplab.images import (
    IGNORE_COLOR,
    IMAGE_SUFFIXES,
    color_map,
    colorize,
    data_uri,
    mirrored,
    number_of_pictures,
    opening,
    read_header,
    read_image,
    read_labels,
    read_small,
    reading,
    resize_image,
    resize_labels,
    size_at,
    turn_upright,
    write_image,
    write_labels,
)

COLOR = (200, 40, 90)
PALETTE = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0]], dtype=np.uint8)
ORIENTATIONS = range(1, 9)


def plain(color, mode="RGB", size=(4, 3)):
    """A Pillow image 3 high and 4 wide, of one colour."""
    return Image.new("RGB", size, color).convert(mode)


def saved(folder, image, name="image.png", **options):
    path = folder / name
    image.save(path, **options)
    return path


def png_16_bit(folder, values):
    """A 16-bit PNG, (H, W, bands): grey or RGB, alpha behind them in even numbers, which Pillow cannot write."""
    height, width, bands = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[bands], 0, 0, 0)
    return png_of_chunks(folder, (b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))


def png_of_chunks(folder, *chunks):
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    path = folder / "chunks.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path


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


def refused(call, *parts, error=ImageError):
    """The one-line error of `call`, which holds every one of `parts`."""
    with pytest.raises(error) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    for part in parts:
        assert str(part) in text
    return text


# --- images: modes


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


# --- images: transparency


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


# --- images: more than 8 bits


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


# --- images: orientation, frames, sizes


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_image_and_mask_are_turned_alike(tmp_path, make_labels, orientation, suffix):
    upright = make_labels(5, 7, num_classes=3)
    back = {2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}  # what undoes each turn
    stored = Image.fromarray(upright)
    if orientation != 1:
        stored = stored.transpose(opening.UPRIGHT[back[orientation]])
    exif = Image.Exif()
    exif[0x0112] = orientation
    lossless = {"lossless": True} if suffix == "webp" else {}
    image = saved(tmp_path, stored, f"image.{suffix}", exif=exif, **lossless)
    mask = saved(tmp_path, stored, "mask.png", exif=exif)
    np.testing.assert_array_equal(read_image(image)[..., 0], upright)
    np.testing.assert_array_equal(read_labels(mask), upright)


def test_a_pillow_image_that_was_just_opened_is_turned_too(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path, plain(COLOR), "phone.jpg", exif=exif)
    with Image.open(path) as image:
        assert read_image(image).shape == (4, 3, 3)
        assert image.size == (4, 3)  # the caller's object stays as it was


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize(
    "exif",
    [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0garbage", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"],
)
def test_broken_exif_leaves_the_image_as_stored(tmp_path, exif):
    path = saved(tmp_path, plain(COLOR), "broken.jpg", exif=exif)
    assert read_image(path).shape == (3, 4, 3)


def test_an_unknown_orientation_leaves_the_image_as_stored(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 77
    assert read_image(saved(tmp_path, plain(COLOR), "odd.jpg", exif=exif)).shape == (3, 4, 3)


@pytest.mark.parametrize("name", ["moving.gif", "pages.tif", "moving.webp", "moving.png"])
def test_the_first_frame_counts(tmp_path, name):
    frames = [plain((255, 255, 255)), plain((0, 0, 0)), plain(COLOR)]
    path = saved(tmp_path, frames[0], name, save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(read_image(path), 255)


@pytest.mark.parametrize(
    ("name", "number"),
    [("moving.gif", 3), ("pages.tif", 3), ("moving.webp", 3), ("moving.png", 3), ("screens.jpg", 1), ("one.png", 1)],
)
def test_pages_and_frames_are_counted_but_not_the_screens_of_a_jpeg(tmp_path, name, number):
    frames = [plain((255, 255, 255)), plain((0, 0, 0)), plain(COLOR)]
    several = {} if name == "one.png" else {"save_all": True, "append_images": frames[1:]}
    kind = {"format": "MPO"} if name.endswith(".jpg") else {}
    assert number_of_pictures(saved(tmp_path, frames[0], name, **several, **kind)) == number


def test_the_smaller_copies_of_a_map_are_no_pages(tmp_path):
    small = plain(COLOR)
    small.encoderinfo = {"tiffinfo": {opening.SUBFILE_TAG: opening.REDUCED}}
    path = saved(tmp_path, plain(COLOR), "map.tif", save_all=True, append_images=[small])
    with Image.open(path) as image:
        assert image.n_frames == 2
    assert number_of_pictures(path) == 1


@pytest.mark.parametrize("content", [b"", b"II*\0\x08\0\0\0\xff\xff", b"no image"])
def test_of_a_file_that_cannot_be_read_no_pages_are_told(tmp_path, content):
    (tmp_path / "damaged.tif").write_bytes(content)
    assert number_of_pictures(tmp_path / "damaged.tif") == 1


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2), (17, 13)])
def test_tiny_and_odd_sizes_are_read(tmp_path, make_image, size):
    image = make_image(*size)
    np.testing.assert_array_equal(read_image(saved(tmp_path, Image.fromarray(image))), image)


# --- images: names and damage


@pytest.mark.parametrize("name", ["Übung 漢字 é.png", "a b.PNG", "photo.JPG.png", ".hidden.png", "[x]*.png"])
def test_names_may_hold_anything(tmp_path, name):
    path = saved(tmp_path, plain(COLOR), name, format="PNG")
    assert read_image(path).shape == (3, 4, 3)
    assert read_image(str(path)).shape == (3, 4, 3)


@pytest.mark.parametrize("name", ["png.jpg", "png.txt", "png"])
def test_the_content_counts_not_the_name(tmp_path, name):
    assert read_image(saved(tmp_path, plain(COLOR), name, format="PNG"))[0, 0].tolist() == list(COLOR)


def test_a_link_is_followed(tmp_path):
    (tmp_path / "link.png").symlink_to(saved(tmp_path, plain(COLOR)))
    assert read_image(tmp_path / "link.png").shape == (3, 4, 3)


@pytest.mark.parametrize("read", [read_image, read_labels])
@pytest.mark.parametrize("name", ["missing.png", "dead-link.png"])
def test_a_missing_file_is_named(tmp_path, read, name):
    (tmp_path / "dead-link.png").symlink_to(tmp_path / "nothing.png")
    refused(lambda: read(tmp_path / name), tmp_path / name, "no such file", error=InputNotFoundError)


@pytest.mark.parametrize("read", [read_image, read_labels])
@pytest.mark.parametrize("suffix", ["png", "tif", "gif", "bmp"])
@pytest.mark.parametrize("share", [0.8, 0.5, 0.1])
def test_a_truncated_file_is_named(tmp_path, make_labels, read, suffix, share):
    path = saved(tmp_path, Image.fromarray(make_labels(64, 64)), f"cut.{suffix}")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    refused(lambda: read(path), path)


@pytest.mark.parametrize("suffix", ["jpg", "webp", "jp2"])
def test_a_truncated_photo_is_named(tmp_path, make_image, suffix):
    path = saved(tmp_path, Image.fromarray(make_image(64, 64)), f"cut.{suffix}")
    path.write_bytes(path.read_bytes()[:-200])
    refused(lambda: read_image(path), path)


@pytest.mark.parametrize("read", [read_image, read_labels])
def test_an_empty_file_is_named(tmp_path, read):
    path = tmp_path / "empty.jpg"
    path.touch()
    refused(lambda: read(path), path, "0 bytes")


@pytest.mark.parametrize("read", [read_image, read_labels])
@pytest.mark.parametrize("content", [b"<html>not found</html>", bytes(1000), b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_a_file_that_is_no_image_is_named(tmp_path, read, content):
    path = tmp_path / "page.jpg"
    path.write_bytes(content)
    refused(lambda: read(path), path, "save it as PNG")


@pytest.mark.parametrize("read", [read_image, read_labels])
def test_a_folder_is_no_image(tmp_path, read):
    refused(lambda: read(tmp_path), tmp_path, "is a folder")


def test_photographs_above_pillows_own_limit_are_read(tmp_path, monkeypatch):
    path = saved(tmp_path, plain(COLOR, size=(40, 30)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert read_image(path).shape == (30, 40, 3)
    assert Image.MAX_IMAGE_PIXELS == 100  # other users of Pillow in this process keep their limit
    assert opening.MAX_PIXELS >= 30_000 * 20_000


@pytest.mark.parametrize("read", [read_image, read_labels])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path, read):
    header = struct.pack(">IIBBBBB", 60_000, 50_000, 8, 2, 0, 0, 0)
    path = png_of_chunks(tmp_path, (b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))))
    refused(lambda: read(path), path, "50000 x 60000", "shrink")


# --- images: Pillow images and arrays


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


# --- masks


@pytest.mark.parametrize("mode", ["L", "P"])
def test_the_value_of_an_8_bit_mask_is_its_label(tmp_path, make_labels, mode):
    labels = make_labels(9, 7)
    labels[0, 0] = 255
    image = Image.fromarray(labels)
    if mode == "P":
        image.putpalette(color_map(256)[::-1].tobytes())
    read = read_labels(saved(tmp_path, image))
    np.testing.assert_array_equal(read, labels)
    assert read.dtype == np.uint8


def test_a_palette_mask_ignores_which_entries_are_transparent(tmp_path):
    image = Image.fromarray(np.array([[0, 1, 2]], dtype=np.uint8))
    image.putpalette(PALETTE.tobytes())
    assert read_labels(saved(tmp_path, image, transparency=0)).tolist() == [[0, 1, 2]]


def test_a_palette_mask_keeps_its_indices_when_a_palette_is_given(tmp_path):
    image = Image.fromarray(np.array([[2, 1, 0]], dtype=np.uint8))
    image.putpalette(PALETTE[::-1].tobytes())
    assert read_labels(saved(tmp_path, image), palette=PALETTE).tolist() == [[2, 1, 0]]


def test_a_1_bit_mask_has_the_labels_0_and_1(tmp_path):
    mask = Image.fromarray(np.array([[0, 255]], dtype=np.uint8)).convert("1")
    assert read_labels(saved(tmp_path, mask)).tolist() == [[0, 1]]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_a_16_bit_mask_keeps_its_numbers(tmp_path, suffix):
    values = np.array([[0, 1, 300, 65535]], dtype=np.uint16)
    read = read_labels(saved(tmp_path, Image.fromarray(values), f"mask.{suffix}"))
    np.testing.assert_array_equal(read, values)
    assert read.dtype == np.uint16


def test_a_32_bit_mask_is_read_where_its_numbers_fit(tmp_path):
    path = saved(tmp_path, Image.fromarray(np.array([[0, 65535]], dtype=np.int32)), "mask.tif")
    assert read_labels(path).tolist() == [[0, 65535]]


@pytest.mark.parametrize("bad", [-1, 65536, 26 * 65536])
def test_a_32_bit_mask_with_other_numbers_is_refused(tmp_path, bad):
    path = saved(tmp_path, Image.fromarray(np.array([[0, 0], [bad, 0]], dtype=np.int32)), "mask.tif")
    refused(lambda: read_labels(path), path, f"label {bad} at (row 1, column 0)")


def test_a_float_mask_is_refused(tmp_path):
    path = saved(tmp_path, Image.fromarray(np.zeros((3, 4), np.float32)), "mask.tif")
    refused(lambda: read_labels(path), path, "integer class indices", "mode F")


@pytest.mark.parametrize("name", ["mask.jpg", "mask.webp", "mask.jp2", "jpeg.png"])
def test_a_lossy_mask_is_refused_with_the_reason(tmp_path, make_labels, name):
    options = {"format": "JPEG"} if name == "jpeg.png" else {}
    path = saved(tmp_path, Image.fromarray(make_labels(9, 7)), name, **options)
    refused(lambda: read_labels(path), path, "lossless", "PNG")


def test_a_photo_of_several_in_one_jpeg_is_no_mask_either(tmp_path, make_labels):
    one = Image.fromarray(make_labels(9, 7))
    path = saved(tmp_path, one, "mask.jpg", format="MPO", save_all=True, append_images=[one])
    refused(lambda: read_labels(path), path, "lossless", "PNG")


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_colours_become_labels_by_the_palette(tmp_path, make_labels, mode):
    labels = make_labels(9, 7, num_classes=3)
    path = saved(tmp_path, Image.fromarray(PALETTE[labels]).convert(mode))
    read = read_labels(path, palette=PALETTE)
    np.testing.assert_array_equal(read, labels)
    assert read.dtype == np.uint8


def test_the_order_of_the_palette_is_the_order_of_the_labels(tmp_path):
    path = saved(tmp_path, Image.fromarray(PALETTE[[[0, 1, 2]]]))
    assert read_labels(path, palette=PALETTE[[2, 0, 1]]).tolist() == [[1, 2, 0]]


def test_colours_of_300_classes_become_16_bit_labels(tmp_path):
    palette = color_map(300)
    path = saved(tmp_path, Image.fromarray(palette[np.newaxis]))
    np.testing.assert_array_equal(read_labels(path, palette=palette)[0], np.arange(300))


def test_the_colour_of_ignored_pixels_becomes_65535_beside_300_classes(tmp_path):
    palette = color_map(300)
    palette[255] = 1, 1, 1  # had that colour
    path = saved(tmp_path, Image.fromarray(np.array([[IGNORE_COLOR]], np.uint8)))
    assert read_labels(path, palette=palette).tolist() == [[65535]]


@pytest.mark.parametrize("color", [(1, 0, 0), (255, 255, 255), (0, 0, 1)])
def test_an_unlisted_colour_is_named_with_its_pixel(tmp_path, color):
    values = PALETTE[np.zeros((3, 4), dtype=int)]
    values[2, 1] = color
    path = saved(tmp_path, Image.fromarray(values))
    refused(lambda: read_labels(path, palette=PALETTE), path, color, "(row 2, column 1)", "no class's colour")


@pytest.mark.parametrize(("palette", "label"), [(PALETTE, 255), ([*PALETTE.tolist(), IGNORE_COLOR], len(PALETTE))])
def test_the_colour_of_ignored_pixels_is_ignored_unless_it_is_a_class(tmp_path, palette, label):
    values = PALETTE[np.zeros((3, 4), dtype=int)]
    values[2, 1] = IGNORE_COLOR
    path = saved(tmp_path, Image.fromarray(values))
    labels = read_labels(path, palette=np.array(palette, np.uint8))
    assert (labels[2, 1], labels.sum()) == (label, label)


def test_the_colour_of_ignored_pixels_is_65535_where_255_is_a_class(tmp_path):
    palette = color_map(300)
    palette[255] = 1, 1, 1  # else it has that colour itself
    path = saved(tmp_path, Image.fromarray(np.array([[IGNORE_COLOR, (1, 1, 1)]], np.uint8)))
    assert read_labels(path, palette=palette).tolist() == [[65535, 255]]


def test_a_file_within_another_is_read_like_a_path(tmp_path):
    @dataclass
    class Part:
        inner: Path
        name: str = "part"
        stem: str = "part"

        def read_bytes(self) -> bytes:
            return self.inner.read_bytes()

        def __str__(self) -> str:
            return f"{self.inner}: part 3"

    path = saved(tmp_path, plain(COLOR))
    np.testing.assert_array_equal(read_image(Part(path)), read_image(path))
    path.write_bytes(b"")
    refused(lambda: read_image(Part(path)), f"{path}: part 3", "holds none of")


def test_a_colour_mask_without_a_palette_is_refused(tmp_path):
    path = saved(tmp_path, plain(COLOR))
    refused(lambda: read_labels(path), path, "in colours", "class indices")


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_a_mask_with_holes_is_refused(tmp_path, mode):
    image = Image.new(mode, (4, 3))
    path = saved(tmp_path, image)
    refused(lambda: read_labels(path, palette=PALETTE), path, "transparent", "(row 0, column 0)")


def test_an_opaque_alpha_band_of_a_grey_mask_does_not_matter(tmp_path):
    mask = Image.merge("LA", [Image.new("L", (4, 3), 2), Image.new("L", (4, 3), 255)])
    np.testing.assert_array_equal(read_labels(saved(tmp_path, mask)), np.full((3, 4), 2))


@pytest.mark.parametrize("mode", ["CMYK", "LAB"])
def test_a_mask_in_a_printers_colours_is_refused(tmp_path, mode):
    path = saved(tmp_path, Image.new(mode, (4, 3)), "mask.tif")
    refused(lambda: read_labels(path, palette=PALETTE), path, mode)


# --- writing


def test_labels_are_written_as_an_8_bit_palette_png(tmp_path, make_labels):
    labels = make_labels(9, 7, num_classes=3)
    labels[0, :2] = 200, 255
    write_labels(tmp_path / "mask.png", labels, palette=PALETTE)
    with Image.open(tmp_path / "mask.png") as image:
        assert (image.format, image.mode) == ("PNG", "P")
        colors = np.array(image.convert("RGB"))
    np.testing.assert_array_equal(colors, colorize(labels, PALETTE))
    np.testing.assert_array_equal(read_labels(tmp_path / "mask.png"), labels)
    assert (tmp_path / "mask.png").read_bytes()[24] == 8  # the bit depth in the header, whatever the palette's length


@pytest.mark.parametrize(("num_classes", "highest"), [(3, 65535), (300, 299), (256, 255)])
def test_labels_that_8_bits_cannot_tell_apart_are_written_in_16(tmp_path, num_classes, highest):
    labels = np.array([[0, 1, highest]], dtype=np.uint16)
    write_labels(tmp_path / "mask.png", labels, palette=color_map(num_classes))
    read = read_labels(tmp_path / "mask.png")
    assert read.dtype == np.uint16
    np.testing.assert_array_equal(read, labels)


@pytest.mark.parametrize("name", ["mask.jpg", "mask", "mask.npz"])
def test_labels_go_to_png_only(tmp_path, name):
    labels = np.zeros((3, 4), np.uint8)
    refused(lambda: write_labels(tmp_path / name, labels, palette=PALETTE), name, ".png", error=OutputError)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("labels", [np.zeros((3, 4)), np.zeros((3, 4), np.int64), np.zeros((3, 4, 3), np.uint8)])
def test_what_is_no_label_map_is_not_written(tmp_path, labels):
    refused(lambda: write_labels(tmp_path / "mask.png", labels, palette=PALETTE), "uint8 or uint16 (H, W)")


def test_an_output_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "mask.png"
    labels = np.zeros((3, 4), np.uint8)
    refused(lambda: write_labels(path, labels, palette=PALETTE), path, "choose another", error=OutputError)
    refused(lambda: write_image(path, np.stack([labels] * 3, axis=-1)), path, "choose another", error=OutputError)


@pytest.mark.parametrize("name", ["picture.png", "picture.PNG", "Bild ü.bmp", "picture.tiff"])
def test_a_written_image_is_read_back(tmp_path, make_image, name):
    image = make_image(9, 7)
    write_image(tmp_path / name, image)
    np.testing.assert_array_equal(read_image(tmp_path / name), image)


def test_a_written_jpeg_is_close_to_the_image(tmp_path, make_image):
    image = make_image(64, 48)
    write_image(tmp_path / "picture.jpg", Image.fromarray(image))
    assert np.abs(read_image(tmp_path / "picture.jpg").astype(int) - image).mean() < 5  # chroma has half the size


def test_an_image_of_an_unknown_suffix_is_not_written(tmp_path, make_image):
    refused(
        lambda: write_image(tmp_path / "picture.xyz", make_image(3, 4)),
        "picture.xyz",
        ".png",
        error=OutputError,
    )


def test_every_image_suffix_is_lower_case_with_its_dot():
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in IMAGE_SUFFIXES)
    assert {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp"} <= IMAGE_SUFFIXES


# --- sizes and colours


def test_resized_labels_are_those_of_the_nearest_pixels():
    labels = np.array([[0, 7, 255]], np.uint8)
    assert resize_labels(labels, (2, 6)).tolist() == [[0, 0, 7, 7, 255, 255]] * 2
    assert resize_labels(labels, (1, 1)).tolist() == [[7]]
    assert resize_labels(labels.astype(np.uint16), (1, 3)).dtype == np.uint16


def test_a_resized_image_has_the_size_height_first(make_image):
    assert resize_image(make_image(40, 30), (20, 60)).shape == (20, 60, 3)


def test_an_image_of_the_right_size_stays_the_same(make_image):
    image = make_image(5, 6)
    np.testing.assert_array_equal(resize_image(image, (5, 6)), image)


def test_shrinking_averages_so_that_fine_stripes_become_grey():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    small = resize_image(stripes, (8, 8))
    assert np.abs(small.astype(int) - 128).max() <= 8  # without antialiasing: 0 or 255


def test_the_color_map_is_that_of_pascal_voc():
    # the devkit's VOClabelcolormap: background, aeroplane, bicycle, person, tv/monitor, void
    colors = color_map(256)
    assert colors[[0, 1, 2, 15, 20, 255]].tolist() == [
        [0, 0, 0],
        [128, 0, 0],
        [0, 128, 0],
        [192, 128, 128],
        [0, 64, 128],
        [224, 224, 192],
    ]
    assert len(np.unique(color_map(1000), axis=0)) == 1000


def test_labels_are_drawn_in_the_colours_of_their_classes():
    labels = np.array([[0, 1, 2, 3, 255]], dtype=np.uint8)
    assert colorize(labels, PALETTE)[0].tolist() == [*PALETTE.tolist(), [0, 0, 0], list(IGNORE_COLOR)]


def test_16_bit_labels_are_drawn_too():
    labels = np.array([[299, 255, 300, 65535]], dtype=np.uint16)
    palette = color_map(300)
    expected = [palette[299].tolist(), palette[255].tolist(), [0, 0, 0], list(IGNORE_COLOR)]
    assert colorize(labels, palette)[0].tolist() == expected


# --- sizes


def test_the_longer_side_gets_the_length_and_the_shorter_follows():
    assert size_at(20, (100, 50)) == (20, 10)
    assert size_at(20, (1, 1000)) == (1, 20)
    assert size_at(50, (3, 100)) == (2, 50)  # rounded
    assert size_at(None, (7, 9)) == (7, 9)


# --- real files


def test_real_masks_and_photos_are_read(shared: Path):
    folder = shared / "data" / "camvid" / "val"
    image = sorted((folder / "images").iterdir())[0]
    mask = folder / "masks" / f"{image.stem}.png"
    assert read_image(image).shape == (360, 480, 3)
    assert set(np.unique(read_labels(mask))) <= {*range(11), 255}


def test_a_header_tells_the_pixels_without_decoding_them(tmp_path, make_image):
    path = saved(tmp_path, Image.fromarray(make_image(300, 400)), "photo.jpg")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    header = read_header(path)
    assert (header.format, header.mode, header.size, header.orientation) == ("JPEG", "RGB", (300, 400), 1)
    assert (header.lossy, header.alpha, header.deep, header.palette) == (True, False, False, ())
    assert header.suffix == ".jpg"


@pytest.mark.parametrize(
    ("mode", "alpha", "deep"), [("L", False, False), ("RGBA", True, False), ("I;16", False, True), ("LA", True, False)]
)
def test_a_header_knows_alpha_and_depth(tmp_path, mode, alpha, deep):
    header = read_header(saved(tmp_path, Image.new(mode, (4, 3))))
    assert (header.mode, header.alpha, header.deep, header.lossy) == (mode, alpha, deep, False)


def test_a_header_knows_that_one_colour_is_transparent(tmp_path):
    assert read_header(saved(tmp_path, Image.new("RGB", (4, 3)), transparency=(1, 2, 3))).alpha


def test_a_header_has_the_palette_of_a_palette_file(tmp_path):
    image = Image.new("P", (4, 3))
    image.putpalette(PALETTE.tobytes())
    assert read_header(saved(tmp_path, image)).palette[:3] == tuple(map(tuple, PALETTE.tolist()))


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


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_pixels_are_turned_upright_as_a_file_is(tmp_path, orientation):
    values = np.arange(12, dtype=np.uint8).reshape(3, 4)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, Image.fromarray(values), exif=exif)
    assert read_header(path).orientation == read_small(path, (3, 4))[0].orientation == orientation
    assert np.array_equal(turn_upright(values, orientation), read_labels(path))


@pytest.mark.parametrize("size", [(23, 31), (24, 32), (3, 300)])
def test_a_large_image_read_strip_by_strip_is_the_same(tmp_path, monkeypatch, make_image, size):
    image = make_image(*size)
    monkeypatch.setattr(reading, "STRIP", 128)  # 4 rows, or less than one
    assert np.array_equal(read_image(saved(tmp_path, Image.fromarray(image))), image)


def test_a_data_uri_is_the_picture(make_image):
    uri = data_uri(make_image(8, 9))
    assert uri.startswith("data:image/png;base64,")
    image = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB")
    assert np.abs(np.asarray(image).astype(int) - make_image(8, 9)).max() <= 8


def test_a_mirrored_picture_goes_on_in_its_mirror_images(make_image):
    image = make_image(4, 5)
    np.testing.assert_array_equal(mirrored(image, (3, 2)), image[:3, :2])
    large = mirrored(image, (9, 12))
    np.testing.assert_array_equal(large[4:8, 5:10], image[::-1, ::-1])
    np.testing.assert_array_equal(large[8:, 10:], image[:1, :2])


@pytest.mark.parametrize(
    ("mode", "format", "bytes_each"), [("RGB", "png", 12), ("RGBA", "png", 24), ("RGB", "webp", 17), ("RGB", "jp2", 21)]
)
def test_an_image_is_read_only_where_its_decoding_fits_into_memory(tmp_path, monkeypatch, mode, format, bytes_each):
    path = saved(tmp_path, plain(COLOR, mode), f"x.{format}")
    monkeypatch.setattr(opening, "free_memory", lambda: 4 * 3 * bytes_each)
    assert read_image(path).shape == (3, 4, 3)
    monkeypatch.setattr(opening, "free_memory", lambda: 4 * 3 * bytes_each - 1)
    with pytest.raises(ImageError, match=r"3 x 4 pixels take .* GiB are free; cut or shrink it"):
        read_image(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with a name")
def test_a_pipe_is_not_taken_for_an_empty_file(tmp_path):
    os.mkfifo(tmp_path / "x.png")
    refused(lambda: read_image(tmp_path / "x.png"), "is a device or a pipe")


def test_a_tiff_that_is_no_photo_says_what_to_keep_of_it(tmp_path):
    (tmp_path / "x.tif").write_bytes(b"eight bands")
    refused(lambda: read_image(tmp_path / "x.tif"), "x.tif", "no TIFF, or a damaged one", "gdal_translate")


@pytest.mark.parametrize(
    ("number", "dtype", "what"),
    [
        (4, np.uint16, "a TIFF of 4 bands of 16 bits, not marked as colours; wanted"),
        (3, np.float32, "a TIFF of 3 bands of 32 bits as floating point, not marked as colours; wanted"),
        (6, np.int16, "a TIFF of 6 bands of 16 bits with a sign, not marked as colours; wanted"),
    ],
)
@pytest.mark.parametrize("big", ["YES", "NO"])
def test_a_tiff_that_is_no_photo_says_what_is_in_it(tmp_path, number, dtype, what, big):
    rasterio = pytest.importorskip("rasterio", reason="writes such files")
    shape = {"height": 3, "width": 4, "count": number, "dtype": dtype, "transform": rasterio.Affine.scale(2)}
    with rasterio.open(tmp_path / "x.tif", "w", driver="GTiff", BIGTIFF=big, **shape) as file:
        file.write(np.zeros((number, 3, 4), dtype))
    refused(lambda: read_image(tmp_path / "x.tif"), "x.tif", what, "gdal_translate")


@pytest.mark.parametrize("compress", ["none", "deflate"])
def test_a_tiff_of_16_bit_colours_in_planes_is_not_read_as_other_colours(tmp_path, compress):
    rasterio = pytest.importorskip("rasterio", reason="writes such files")
    shape = {"height": 3, "width": 4, "count": 3, "dtype": "uint16", "transform": rasterio.Affine.scale(2)}
    kept = {"photometric": "RGB", "interleave": "band", "compress": compress}
    with rasterio.open(tmp_path / "x.tif", "w", driver="GTiff", **shape, **kept) as file:
        file.write(np.full((3, 3, 4), 999, np.uint16))
    what = "a TIFF of 3 bands of 16 bits that come one after the other, marked as colours"
    refused(lambda: read_image(tmp_path / "x.tif"), what, "gdal_translate")
