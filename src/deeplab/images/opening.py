"""Image files before their pixels are decoded: what they are, and whether they can be."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

from PIL import Image, ImageFile, TiffImagePlugin, UnidentifiedImageError

from deeplab._machine import free_memory
from deeplab._words import number_of
from deeplab.errors import DeepLabError, ImageError, InputNotFoundError
from deeplab.files import File

__all__ = [
    "FORMATS",
    "GREY_ALPHA",
    "IMAGE_SUFFIXES",
    "LOSSY_FORMATS",
    "MAX_PIXELS",
    "OTHER_BYTE",
    "OTHER_SUFFIXES",
    "Header",
    "bytes_of",
    "check_memory",
    "decoding",
    "exif_orientation",
    "format_of",
    "header_of",
    "nodata_of",
    "number_of_pictures",
    "opened",
    "orientation_of",
    "rawmode_of",
    "read_header",
    "size_of",
    "upright",
]

FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jfif"),
    "PNG": (".png",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "AVIF": (".avif",),
    "JPEG2000": (".jp2", ".j2k"),
}
"""What is read and written. A file is known by its content, whatever its name: they are tried in this order, and for
those from TIFF on Pillow loads all that it knows, which takes 0.1 s."""

IMAGE_SUFFIXES = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes)

OTHER_SUFFIXES = frozenset(
    (".heic", ".heif", ".jxl", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".psd", ".svg", ".avi", ".mkv", ".mov", ".mp4")
)
"""Of pictures and videos that are not read."""

LOSSY_FORMATS = frozenset({"AVIF", "JPEG", "JPEG2000", "MPO", "WEBP"})

MAX_PIXELS = 2**30
"""A gigapixel is 3 GB as RGB. Files above it are taken for decompression bombs."""

PIXEL_BYTES = {"JPEG2000": 21, "WEBP": 17}
"""Of memory for each pixel of an image that is read, twice as many of a transparent one; measured: 20 of JPEG 2000 and
16 of WebP, where transparent 25 and 28."""

OTHER_PIXEL_BYTES = 12
"""The same of the other formats; measured: 7 of JPEG and PNG, 11 of a JPEG that is turned, 10 of AVIF, and where these
are transparent 19 of PNG and 23 of AVIF."""

BY_ROWS = (
    "cut or shrink it, or have 'deeplab segment' read it row by row: pip install 'deeplab[geo]', no AVIF, and no "
    "--crf, --scales, --flip, --probabilities or --confidence"
)

PHOTO_BANDS = "1 band of 8 or 16 bits, or 3 or 4 that are marked as colours"

KEEP_THREE = "keep three bands, as in gdal_translate -b 1 -b 2 -b 3 -ot Byte -scale before.tif after.tif"

RGB = 2
"""TIFF's number of colours as the meaning of the bands."""

SAMPLE_FORMATS = {2: " with a sign", 3: " as floating point"}
"""TIFF's numbers of the kinds of values, but for whole numbers from 0 on."""

PLANES = 2
"""TIFF's number of the arrangement in which all of a band comes before the next one."""

GDAL_NODATA = 42113
"""The tag, of text, by which GDAL says in a TIFF which value marks pixels that nothing is known of."""

ORIENTATION_TAG = 0x0112

SEVERAL = frozenset({"AVIF", "GIF", "PNG", "TIFF", "WEBP"})
"""Formats of files with pages or frames; what a JPEG may have more of (MPO) is the same picture for other screens."""

SUBFILE_TAG = 0x00FE
"""TIFF's kind of page, with the bits REDUCED and MASK."""

REDUCED, MASK = 1, 4

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what turns the picture upright."""

GREY_ALPHA = "LA;16B"

OTHER_BYTE = {
    **{f"{bands};16B": f"{bands};16L" for bands in ("RGB", "RGBA", "RGBX")},
    **{f"{bands};16L": f"{bands};16B" for bands in ("RGB", "RGBA", "RGBX")},
    **{f"{bands};16N": f"{bands};16{'B' if sys.byteorder == 'little' else 'L'}" for bands in ("RGB", "RGBA", "RGBX")},
    GREY_ALPHA: "RGBA",
}
"""Pillow reads 16-bit colours as their high bytes. Read in the other byte order, it gives the low ones; of grey with
transparency, read as 8-bit colours, the high one, the low one and those of the transparency."""

_open_lock = Lock()


@dataclass(frozen=True)
class Header:
    """What an image file says of its pixels, which are not decoded."""

    format: str
    mode: str
    """Pillow's name of the kind of pixels: L, P, RGB, RGBA, I;16 ..."""
    size: tuple[int, int]
    """(height, width) as stored, not turned upright."""
    orientation: int
    """EXIF orientation, 1 .. 8; 1 is upright as stored."""
    alpha: bool
    deep: bool
    """More than 8 bits a value."""
    palette: tuple[tuple[int, int, int], ...]
    """The colours of a palette file by index; empty without one."""
    white: int | None = None
    """The value that becomes 255 where there are more than 8 bits, which is only known of pixels that were decoded."""

    @property
    def lossy(self) -> bool:
        """Whether the format changes values."""
        return self.format in LOSSY_FORMATS

    @property
    def suffix(self) -> str:
        """How the name of such a file ends, as in ".jpg"."""
        return FORMATS.get(self.format, FORMATS["JPEG"])[0]  # MPO is a JPEG with more pictures behind it


def read_header(path: str | File) -> Header:
    """What the file says of itself. Raises as `read_image`, but does not notice damaged pixels."""
    with opened(path) as image:
        return header_of(image)


@contextmanager
def opened(path: str | File) -> Iterator[ImageFile.ImageFile]:
    """The file, its header read and its size checked, its pixels not decoded yet."""
    name = str(path)
    with decoding(name), bytes_of(path, name) as file, _open_named(file, name) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise ImageError(f"{name}: {height} x {width} pixels are more than the {MAX_PIXELS:,} allowed; {BY_ROWS}")
        yield image


def check_memory(image: Image.Image, name: str) -> None:
    """Refuse an image that does not fit into memory, as Pillow holds it and as an array."""
    each = PIXEL_BYTES.get(image.format or "", OTHER_PIXEL_BYTES) * (2 if image.has_transparency_data else 1)
    needed, free = each * image.width * image.height, free_memory()
    if free is not None and needed > free:
        raise ImageError(
            f"{name}: {image.height} x {image.width} pixels take {needed / 2**30:.1f} GiB of memory, and "
            f"{free / 2**30:.1f} GiB are free; {BY_ROWS}"
        )


def bytes_of(path: str | File, name: str) -> BinaryIO:
    """The content of a file that is there and not empty, whose errors begin with `name`."""
    path = Path(path) if isinstance(path, str) else path
    if not isinstance(path, Path):
        return BytesIO(path.read_bytes())
    if not path.exists():
        raise InputNotFoundError(f"{name}: no such file")
    if path.is_dir():
        raise ImageError(f"{name}: is a folder; wanted an image file")
    if not path.is_file():
        raise ImageError(f"{name}: is a device or a pipe; save the image to a file first")
    if path.stat().st_size == 0:
        raise ImageError(f"{name}: the file is empty (0 bytes); fetch or save it again")
    return path.open("rb")


def _open(file: BinaryIO) -> ImageFile.ImageFile:
    """`Image.open` of our formats without Pillow's own limit on the size, which large photographs exceed.

    A path would let Pillow map the file into memory, which scrambles turned TIFFs (seen in 13.0). It takes the bytes
    of 16-bit values that lie band after band for pixels, or drops the lower ones; such files count as unknown.
    """
    with _open_lock:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(file, formats=tuple(FORMATS))
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    tags = getattr(image, "tag_v2", {})
    if tags.get(TiffImagePlugin.PLANAR_CONFIGURATION) == PLANES and len(image.getbands()) > 1 and _bits(tags) > 8:
        raise UnidentifiedImageError("16-bit colours in planes")
    return image


def _open_named(file: BinaryIO, name: str) -> ImageFile.ImageFile:
    """As `_open`; of a TIFF that is no photo an ImageError says what is in it."""
    try:
        return _open(file)
    except UnidentifiedImageError as error:
        bands = _bands_of_tiff(file)
        if bands is None:
            raise
        raise ImageError(f"{name}: a TIFF of {bands}; wanted {PHOTO_BANDS}; {KEEP_THREE}") from error


def _bands_of_tiff(file: BinaryIO) -> str | None:
    """As in "4 bands of 16 bits, not marked as colours"; None: it is no TIFF, or a damaged one."""
    file.seek(0)
    start = file.read(8)
    try:
        if start[2:4] in (b"\x2b\x00", b"\x00\x2b"):  # a BigTIFF
            start += file.read(8)
        tags = TiffImagePlugin.ImageFileDirectory_v2(start)
        file.seek(tags.next)
        tags.load(file)
        bits, kinds = _bits(tags), tags.get(TiffImagePlugin.SAMPLEFORMAT, (1,))
        number = number_of(tags.get(TiffImagePlugin.SAMPLESPERPIXEL, 1), "band")
        marked = tags[TiffImagePlugin.PHOTOMETRIC_INTERPRETATION] == RGB
    except Exception:  # on a damaged file anything may be raised
        return None
    kind = SAMPLE_FORMATS.get(kinds[0], "")
    planes = " that come one after the other" if tags.get(TiffImagePlugin.PLANAR_CONFIGURATION) == PLANES else ""
    return f"{number} of {bits} bits{kind}{planes}, {'marked' if marked else 'not marked'} as colours"


def _bits(tags: Any) -> int:
    """Of a value of a TIFF."""
    bits: int = tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))[0]
    return bits


@contextmanager
def decoding(name: str) -> Iterator[None]:
    """Turn what a decoder raises, on a damaged file anything, into an ImageError that begins with `name`."""
    try:
        yield
    except DeepLabError:
        raise
    except UnidentifiedImageError as error:
        if name.lower().endswith(FORMATS["TIFF"]):
            raise ImageError(
                f"{name}: no TIFF, or a damaged one; wanted {PHOTO_BANDS}; fetch it again, or {KEEP_THREE}"
            ) from error
        raise ImageError(
            f"{name}: holds none of {', '.join(FORMATS)} that can be read; save it as PNG or JPEG"
        ) from error
    except Exception as error:
        told = error.__cause__ if type(error).__module__.startswith("rasterio") else None  # why, of that it failed
        reason = str(told or error) or type(error).__name__
        raise ImageError(f"{name}: cannot be read ({reason}); fetch it again or save it as 8-bit PNG") from error


def header_of(image: ImageFile.ImageFile) -> Header:
    """What an opened file says of itself."""
    colors = image.palette.getdata() if image.palette else ("", b"")
    values = list(colors[1]) if colors[0] == "RGB" else []
    return Header(
        format=image.format or "",
        mode=image.mode,
        size=(image.height, image.width),
        orientation=exif_orientation(image),
        alpha=image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info,
        deep=image.mode[0] in "IF" or rawmode_of(image) in OTHER_BYTE,
        palette=tuple(zip(values[::3], values[1::3], values[2::3], strict=False)),
    )


def nodata_of(image: Image.Image) -> float | None:
    """The value by which a TIFF marks pixels that nothing is known of, as GDAL writes it; None: it does not."""
    try:
        return float(getattr(image, "tag_v2", {})[GDAL_NODATA])
    except (KeyError, TypeError, ValueError):
        return None


def upright(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF orientation says."""
    turn = UPRIGHT.get(exif_orientation(image))
    return image if turn is None else image.transpose(turn)


def exif_orientation(image: Image.Image) -> int:
    """1 .. 8; 1, upright, where the image has none or a damaged one."""
    try:
        orientation = Image.Image.getexif(image).get(ORIENTATION_TAG, 1)  # that of PNG would decode all
    except Exception:  # damaged EXIF, on which anything may be raised; the pixels are sound
        return 1
    return orientation if orientation in UPRIGHT else 1


def orientation_of(file: BinaryIO) -> int:
    """The EXIF orientation of an image file of any kind; 1, upright, where it has none."""
    try:
        with _open(file) as image:
            return exif_orientation(image)
    except UnidentifiedImageError:
        return 1


def number_of_pictures(path: str | File) -> int:
    """How many pages or frames a file has, of which the first one is read; 1 where it cannot be told.

    The smaller copies and the mask that a map brings along do not count, nor what a phone adds to a JPEG.
    """
    try:
        with bytes_of(path, str(path)) as file, _open(file) as image:
            number: int = getattr(image, "n_frames", 1) if image.format in SEVERAL else 1
            if number == 1 or not isinstance(image, TiffImagePlugin.TiffImageFile):
                return number
            return max(1, sum(_is_page(image, index) for index in range(number)))
    except Exception:  # on a damaged file anything may be raised
        return 1


def _is_page(image: TiffImagePlugin.TiffImageFile, index: int) -> bool:
    image.seek(index)
    return not image.tag_v2.get(SUBFILE_TAG, 0) & (REDUCED | MASK)


def size_of(file: BinaryIO) -> tuple[int, int]:
    """The (height, width) of an image file as stored; (0, 0) where it cannot be told."""
    try:
        with _open(file) as image:
            width, height = image.size
            return height, width
    except Exception:  # on a damaged file anything may be raised
        return 0, 0


def format_of(file: BinaryIO) -> str | None:
    """Pillow's name of the format of an image file that it knows."""
    with _open(file) as image:
        return image.format


def rawmode_of(image: ImageFile.ImageFile) -> str:
    """How the values lie in the file, as Pillow calls it: RGB;16B ..."""
    args = image.tile[0].args if image.tile else ""
    return str(args[0] if isinstance(args, tuple) else args)
