from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from deeplab.errors import OutputError
from deeplab.images import IGNORE_COLOR, color_map, colorize, read_labels, write_labels

from ._pictures import COLOR, PALETTE, plain, refused, saved


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
