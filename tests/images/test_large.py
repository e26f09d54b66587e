import sys

import numpy as np
import pytest
from PIL import Image

from deeplab.errors import ImageError, InputNotFoundError, MissingExtraError, OutputError
from deeplab.images import color_map, read_image, read_labels, write_labels
from deeplab.images.large import is_large, open_large, write_label_rows

needs_rasterio = pytest.mark.skipif("not __import__('importlib').util.find_spec('rasterio')", reason="needs rasterio")


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (41, 67, 4), dtype=np.uint8)


def pictures(pixels):
    """By name, a Pillow image and the ending of its file."""
    color = pixels[..., :3]
    half = pixels.copy()
    half[..., 3] = np.where(half[..., 3] > 127, 255, 100)
    palette = Image.fromarray(color).quantize(40)
    return {
        "colours": (Image.fromarray(color), ".png"),
        "colours in a TIFF": (Image.fromarray(color), ".tif"),
        "JPEG": (Image.fromarray(color).resize((67, 41), box=(0, 0, 9, 9)), ".jpg"),
        "grey": (Image.fromarray(color[..., 0]), ".png"),
        "1 bit": (Image.fromarray(color[..., 0]).convert("1"), ".png"),
        "1 bit in a TIFF": (Image.fromarray(color[..., 0]).convert("1"), ".tif"),
        "palette": (palette, ".png"),
        "transparent": (Image.fromarray(half), ".png"),
        "grey, transparent": (Image.fromarray(half[..., 2:]), ".png"),
        "16 bits": (Image.fromarray(color[..., 0].astype(np.uint16) * 200), ".png"),
        "unknown fourth band in a TIFF": (Image.fromarray(pixels).convert("RGBX"), ".tif"),
        "12 bits": (Image.fromarray(color[..., 0].astype(np.uint16) * 15), ".tif"),
        "floats": (Image.fromarray(color[..., 0] / np.float32(255)), ".tif"),
    }


@needs_rasterio
@pytest.mark.parametrize("name", pictures(np.zeros((9, 9, 4), np.uint8)))
def test_rows_are_those_of_the_image_read_as_a_whole(tmp_path, pixels, name):
    picture, suffix = pictures(pixels)[name]
    path = tmp_path / f"image{suffix}"
    picture.save(path, subsampling=0)  # of JPEG, whose decoders smooth colours differently
    whole = read_image(path).astype(int)
    with open_large(path) as image:
        assert image.size == (41, 67)
        parts = [image.rows(start, min(start + 10, 41)) for start in range(0, 41, 10)]
    assert all(part.dtype == np.uint8 for part in parts)
    assert all(part.flags.c_contiguous for part in parts)
    limit = {"JPEG": 6, "grey, transparent": 1, "transparent": 1}.get(name, 0)  # another decoder; Pillow's rounding
    assert np.abs(np.concatenate(parts) - whole).max() <= limit


@needs_rasterio
@pytest.mark.parametrize("bands", [slice(0, 3), 0])
def test_a_colour_that_a_png_hides_is_white(tmp_path, pixels, bands):
    color = pixels[..., bands].copy()
    color[:10, :10] = color[20, 21]
    hidden = color[20, 21].tolist()
    path = tmp_path / "image.png"
    Image.fromarray(color).save(path, transparency=hidden if bands == 0 else tuple(hidden))
    with open_large(path) as image:
        rows = image.rows(5, 41)
    assert (rows[:5, :10] == 255).all()
    np.testing.assert_array_equal(rows, read_image(path)[5:])


NODATA = [
    ("uint16", 3, 65535),
    ("uint16", 3, 64 * 256),
    ("uint16", 1, 65535),
    ("float32", 1, -9999),
    ("float32", 3, np.nan),
]


@needs_rasterio
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(("dtype", "bands", "nodata"), NODATA)
def test_pixels_without_data_do_not_decide_how_bright_the_others_are(tmp_path, pixels, dtype, bands, nodata):
    rasterio = pytest.importorskip("rasterio")
    values = np.moveaxis(pixels[..., :bands], -1, 0).astype(dtype) * 16  # 12 bits
    plain, holes = tmp_path / "plain.tif", tmp_path / "holes.tif"
    profile = {"driver": "GTiff", "height": 41, "width": 67, "count": bands, "dtype": dtype}
    profile |= {"photometric": "RGB"} if bands == 3 else {}
    with rasterio.open(plain, "w", **profile) as file:
        file.write(values)
    values[:, :9, :9] = nodata
    with rasterio.open(holes, "w", **profile, nodata=nodata) as file:
        file.write(values)
    with open_large(plain) as image:
        wanted = image.rows(0, 41)
    wanted[:9, :9] = 255 if nodata > 0 else 0
    with open_large(holes) as image:
        np.testing.assert_array_equal(image.rows(0, 41), wanted)
    if dtype == "uint16" or bands == 1:  # what Pillow can read
        np.testing.assert_array_equal(read_image(holes), wanted)


@needs_rasterio
def test_transparency_of_16_bits_behind_colours_of_12(tmp_path, pixels):
    rasterio = pytest.importorskip("rasterio")
    values = pixels.astype(np.uint16) * 16
    values[..., 3] = np.where(pixels[..., 3] > 127, 65535, 0)
    profile = {"driver": "PNG", "height": 41, "width": 67, "count": 4, "dtype": "uint16"}
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning), rasterio.open(tmp_path / "a.png", "w", **profile) as f:
        f.write(np.moveaxis(values, -1, 0))
    with open_large(tmp_path / "a.png") as image:
        np.testing.assert_array_equal(image.rows(0, 41), read_image(tmp_path / "a.png"))


@needs_rasterio
@pytest.mark.parametrize("factor", [1, 3, 9])
def test_a_smaller_copy_is_that_of_the_whole_image(tmp_path, factor):
    smooth = np.add.outer(np.arange(360), np.arange(540))[..., None] * np.array([0.25, 0.1, 0.2])
    path = tmp_path / "image.png"
    Image.fromarray(smooth.astype(np.uint8)).save(path)
    size = (360 // factor, 540 // factor)
    with open_large(path) as image:
        small = image.resized(size)
    assert small.shape == (*size, 3)
    wanted = np.array(Image.fromarray(smooth.astype(np.uint8)).resize(size[::-1], Image.Resampling.BILINEAR))
    assert np.abs(small.astype(int) - wanted)[2:-2, 2:-2].max() <= 2


@needs_rasterio
def test_what_cannot_be_read_is_told_in_one_line(tmp_path, pixels):
    rasterio = pytest.importorskip("rasterio")
    with pytest.raises(InputNotFoundError, match="no such file"), open_large(tmp_path / "none.tif"):
        pass
    (tmp_path / "text.tif").write_text("no image")
    with pytest.raises(ImageError, match=r"text.tif: cannot be read"), open_large(tmp_path / "text.tif"):
        pass
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(pixels[..., :3]).save(tmp_path / "turned.jpg", exif=turned)
    with pytest.raises(ImageError, match="save an image of this size upright"), open_large(tmp_path / "turned.jpg"):
        pass
    profile = {"driver": "GTiff", "height": 41, "width": 67, "count": 8, "dtype": "uint16"}
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning), rasterio.open(tmp_path / "8.tif", "w", **profile) as f:
        f.write(np.zeros((8, 41, 67), np.uint16))
    with pytest.raises(ImageError, match="has 8 bands; wanted grey or red, green and blue"):
        open_large(tmp_path / "8.tif").__enter__()


@needs_rasterio
@pytest.mark.parametrize(("orientation", "most", "large"), [(1, 2000, True), (6, 2000, True), (6, 3000, False)])
def test_what_is_to_be_turned_goes_by_rows_only_if_it_has_to(tmp_path, pixels, monkeypatch, orientation, most, large):
    monkeypatch.setattr("deeplab.images.large.LARGE", 1000)
    monkeypatch.setattr("deeplab.images.large.MAX_PIXELS", most)
    turn = Image.Exif()
    turn[0x0112] = orientation
    Image.fromarray(pixels[..., :3]).save(tmp_path / "image.jpg", exif=turn)  # 2747 pixels
    assert is_large(tmp_path / "image.jpg") == large


@needs_rasterio
@pytest.mark.skipif("not __import__('PIL.features').features.check('avif')", reason="this Pillow reads no AVIF")
def test_what_is_decoded_in_one_piece_goes_by_rows_only_if_it_has_to(tmp_path, pixels, monkeypatch):
    monkeypatch.setattr("deeplab.images.large.LARGE", 1000)
    Image.fromarray(pixels[..., :3]).save(tmp_path / "image.avif")  # 2747 pixels
    assert not is_large(tmp_path / "image.avif")
    monkeypatch.setattr("deeplab.images.large.MAX_PIXELS", 2000)
    assert is_large(tmp_path / "image.avif")


@needs_rasterio
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(
    ("bands", "dtype", "lying", "by_rows"),
    [
        (3, "float32", "pixel", True),
        (3, "uint16", "band", True),
        (3, "uint8", "band", False),
        (6, "uint8", "pixel", False),
    ],
)
def test_a_map_that_pillow_cannot_read_goes_by_rows(tmp_path, pixels, bands, dtype, lying, by_rows):
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "map.tif"
    profile = {"driver": "GTiff", "height": 41, "width": 67, "count": bands, "dtype": dtype, "interleave": lying}
    with rasterio.open(path, "w", **profile, photometric="RGB" if bands == 3 else "MINISBLACK") as file:
        file.write(np.moveaxis(np.tile(pixels[..., :3], bands // 3), -1, 0).astype(dtype))
    assert is_large(path) == by_rows
    if by_rows:
        with open_large(path) as image:
            np.testing.assert_array_equal(image.rows(0, 41), pixels[..., :3])


@needs_rasterio
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("dtype", ["float32", "int16", "uint16"])
def test_rows_are_8_bits_also_where_wider_values_need_no_more(tmp_path, pixels, dtype):
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "map.tif"
    with rasterio.open(path, "w", driver="GTiff", height=41, width=67, count=1, dtype=dtype) as file:
        file.write(pixels[np.newaxis, ..., 0].astype(dtype))
    with open_large(path) as image:
        rows = image.rows(0, 41)
    assert rows.dtype == np.uint8
    np.testing.assert_array_equal(rows[..., 1], pixels[..., 0])


@needs_rasterio
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_why_a_map_cannot_be_read_is_told_by_what_reads_it(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "map.tif"
    with rasterio.open(path, "w", driver="GTiff", height=4, width=6, count=3, dtype="float32") as file:
        file.write(np.full((3, 4, 6), -9999, np.float32))
    assert is_large(path)
    with pytest.raises(ImageError, match=r"value -9999.0 at \(row 0, column 0\)"), open_large(path) as image:
        image.rows(0, 4)


def test_rasterio_is_not_asked_for_where_an_image_is_small(tmp_path, pixels, monkeypatch):
    Image.fromarray(pixels).save(tmp_path / "small.png")
    asked = []
    monkeypatch.setattr("deeplab.images.large.require", lambda name, *, extra: asked.append(name))
    assert not is_large(tmp_path / "small.png")
    assert asked == []
    monkeypatch.setattr("deeplab.images.large.LARGE", 1000)
    assert is_large(tmp_path / "small.png")
    assert asked == ["rasterio"]


@needs_rasterio
def test_a_value_that_is_no_brightness_is_named_by_its_place(tmp_path, monkeypatch):
    monkeypatch.setattr("deeplab.images.large.BAND", 67 * 4)
    values = np.zeros((41, 67), np.float32)
    values[30, 5] = np.nan
    Image.fromarray(values).save(tmp_path / "image.tif")
    with (
        pytest.raises(ImageError, match=r"value nan at \(row 30, column 5\)"),
        open_large(tmp_path / "image.tif") as image,
    ):
        image.rows(0, 1)


@needs_rasterio
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_a_truncated_file_is_told(tmp_path, pixels, suffix):
    path = tmp_path / f"image{suffix}"
    Image.fromarray(np.tile(pixels[..., :3], (20, 1, 1))).save(path)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(ImageError, match=r"fetch it again"), open_large(path) as image:
        image.rows(0, 820)


def test_without_rasterio_the_extra_is_named(tmp_path, pixels, monkeypatch):
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(MissingExtraError, match=r"pip install .*deeplab\[geo\]"), open_large(tmp_path / "x.tif"):
        pass


@pytest.mark.parametrize("num_classes", [4, 255, 300])
def test_labels_written_in_strips_are_those_written_at_once(tmp_path, num_classes):
    labels = np.random.default_rng(0).integers(0, num_classes, (53, 31)).astype(np.uint16)
    if num_classes <= 256:
        labels = labels.astype(np.uint8)
    palette = color_map(num_classes)
    write_labels(tmp_path / "whole.png", labels, palette=palette)
    strips = (labels[start : start + 7] for start in range(0, 53, 7))
    write_label_rows(tmp_path / "strips.png", strips, size=(53, 31), palette=palette)
    np.testing.assert_array_equal(read_labels(tmp_path / "strips.png"), read_labels(tmp_path / "whole.png"))
    with Image.open(tmp_path / "strips.png") as one, Image.open(tmp_path / "whole.png") as other:
        assert one.mode == other.mode
        assert one.getpalette() == other.getpalette()


def test_labels_that_come_to_no_end_leave_what_was_there(tmp_path):
    path = tmp_path / "labels.png"
    path.write_bytes(b"before")

    def strips():
        yield np.zeros((2, 3), np.uint8)
        raise ImageError("damaged below")

    with pytest.raises(ImageError, match="damaged below"):
        write_label_rows(path, strips(), size=(4, 3), palette=color_map(2))
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_labels_of_another_name_are_refused(tmp_path):
    with pytest.raises(OutputError, match=r"end the name in \.png"):
        write_label_rows(tmp_path / "labels.tif", [], size=(1, 1), palette=color_map(2))


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_label_rows(tmp_path / "file" / "x.png", [], size=(1, 1), palette=color_map(2))
