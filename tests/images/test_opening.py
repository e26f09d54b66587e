from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deeplab.errors import ImageError, InputNotFoundError
from deeplab.images import IMAGE_SUFFIXES, number_of_pictures, opening, read_header, read_image, read_labels

from ._pictures import COLOR, ORIENTATIONS, PALETTE, plain, png_of_chunks, refused, saved


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


def test_every_image_suffix_is_lower_case_with_its_dot():
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in IMAGE_SUFFIXES)
    assert {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp"} <= IMAGE_SUFFIXES


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
