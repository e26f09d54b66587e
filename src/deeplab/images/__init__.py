"""Read and write images and label maps: the one room that knows the imaging library (Pillow).

Everything else sees numpy arrays: an image is uint8 (height, width, 3) RGB, a label map uint8 or uint16
(height, width). Of a file with several frames or pages the first one counts; colour profiles are not applied.
"""

from __future__ import annotations

import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from deeplab._machine import free_memory
from deeplab.errors import DeepLabError, ImageError, InputNotFoundError, OutputError
from deeplab.files import File, written_aside

__all__ = [
    "IGNORE_COLOR",
    "IMAGE_SUFFIXES",
    "Header",
    "as_pillow",
    "color_map",
    "colorize",
    "data_uri",
    "heat",
    "mirrored",
    "read_header",
    "read_image",
    "read_labels",
    "read_small",
    "resize_image",
    "size_at",
    "turn_upright",
    "write_grey",
    "write_image",
    "write_labels",
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

LOSSY_FORMATS = frozenset({"AVIF", "JPEG", "JPEG2000", "MPO", "WEBP"})

IGNORE_COLOR = (224, 224, 192)
"""PASCAL VOC's colour of the label 255, the cream round its objects."""

BIT_DEPTHS = (8, 10, 12, 14, 16)
"""Those of cameras and scanners; they share 16-bit files, which do not say which one they hold."""

MAX_PIXELS = 2**30
"""A gigapixel is 3 GB as RGB. Files above it are taken for decompression bombs."""

PIXEL_BYTES = 13
"""Of memory for each pixel of an image that is read, twice as many of a transparent one; measured: 10 of JPEG and PNG,
12 of AVIF, and 22 and 26 where these are transparent."""

BY_ROWS = (
    "cut or shrink it, or have 'deeplab segment' read it row by row: pip install 'deeplab[geo]', no AVIF, and no "
    "--crf, --scales, --flip, --probabilities or --confidence"
)

ORIENTATION_TAG = 0x0112
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

OTHER_BYTE = {
    "RGB;16B": "RGB;16L",
    "RGB;16L": "RGB;16B",
    "RGB;16N": "RGB;16B" if sys.byteorder == "little" else "RGB;16L",
}
"""Pillow reads 16-bit colours as their high bytes; read in the other byte order, it gives the low ones."""

HEAT = ((10, 8, 30), (110, 20, 90), (205, 55, 60), (250, 150, 45), (252, 245, 190))
"""The colours of `heat`; each is lighter than the one before, also to eyes that tell few colours apart."""

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

    @property
    def lossy(self) -> bool:
        """Whether the format changes values."""
        return self.format in LOSSY_FORMATS


def read_image(source: str | File | Image.Image | NDArray[Any]) -> NDArray[np.uint8]:
    """An image as uint8 (H, W, 3) RGB, upright (EXIF orientation applied).

    Transparent pixels are laid on white: the colours kept under them are not meant to be seen. Values of more
    than 8 bits are scaled by the smallest bit depth of 8, 10, 12, 14 and 16 that holds the maximum; float
    values likewise, except that an image within 0..1 is scaled by 255.

    Args:
        source: A file; a Pillow image; or a uint8 array, (H, W, 3) in RGB or (H, W) in grey, which is copied.

    Raises:
        ImageError: What came is not an image, is damaged, too large or of a kind that has no meaning as RGB.
        InputNotFoundError: No such file.
    """
    if isinstance(source, np.ndarray):
        return _array_as_rgb(source)
    if isinstance(source, Image.Image):
        return _as_rgb(source, name=getattr(source, "filename", "") or "image")
    if isinstance(source, str | File):
        return _file_as_rgb(source)
    raise ImageError(f"an image is a path, a Pillow image or a uint8 array (H, W, 3); came {type(source).__name__}")


def read_labels(path: str | File, *, palette: NDArray[np.uint8] | None = None) -> NDArray[np.uint8 | np.uint16]:
    """The class indices of a mask file: uint8 (H, W), or uint16 where the file has more bits.

    The index of a palette file is the label, whatever its colours; the label of a 1-bit file is 0 or 1. In colours,
    `IGNORE_COLOR` is the ignored label, 255 or 65535, unless it is a class's. EXIF orientation is applied as for
    images.

    Args:
        path: A lossless image file with one band, or, with a `palette`, with three.
        palette: The colour of every class, uint8 (num_classes, 3), for masks drawn in colours.

    Raises:
        ImageError: The file cannot be read, or does not hold labels; the text names the pixel.
        InputNotFoundError: No such file.
    """
    with _opened(path) as file:
        if file.format in LOSSY_FORMATS:
            raise ImageError(
                f"{path}: a mask must be lossless, and {file.format} changes labels along borders;"
                " save the original mask as PNG"
            )
        file.load()
        values = np.array(_upright(file))
        mode = file.mode
    if mode in ("LA", "PA", "RGBA"):
        values = _without_alpha(values, name=str(path))
    if mode in ("RGB", "RGBA"):
        return _labels_by_color(values, palette, name=str(path))
    if mode in ("1", "L", "LA", "P", "PA"):
        return values.astype(np.uint8)
    if mode.startswith("I"):
        check_range(values, name=str(path), what="label")
        return values.astype(np.uint16)
    raise ImageError(f"{path}: a mask holds integer class indices, one a pixel; came mode {mode}; save it as PNG")


def read_header(path: str | File) -> Header:
    """What the file says of itself. Raises as `read_image`, but does not notice damaged pixels."""
    with _opened(path) as image:
        return _header(image)


def read_small(path: str | File, size: tuple[int, int]) -> tuple[Header, NDArray[np.uint8]]:
    """A picture of `size` = (height, width), whatever its shape was, as uint8 (height, width, 3) RGB, upright.

    All of the file is read, so that damage is noticed, but a JPEG is not decoded at more than about that size.
    Colours of more than 8 bits are only roughly scaled. Raises as `read_image`.
    """
    with _opened(path) as image:
        header = _header(image)
        image.draft("RGB", (size[1], size[0]))
        small = resize_image(_as_rgb(image, name=str(path)), size)
        return replace(header, orientation=_orientation(image)), small  # it may stand behind the pixels


def write_labels(path: str | Path, labels: NDArray[np.uint8 | np.uint16], *, palette: NDArray[np.uint8]) -> None:
    """Write class indices as an 8-bit palette PNG, or as 16-bit grey where 8 bits cannot hold all classes.

    Args:
        path: Ends in .png; replaced in one step.
        labels: uint8 or uint16 (H, W).
        palette: uint8 (num_classes, 3).

    Raises:
        ImageError: `labels` is not such an array.
        OutputError: Another suffix, or the file cannot be written.
    """
    check_png(path)
    if labels.ndim != 2 or labels.dtype not in (np.uint8, np.uint16) or labels.size == 0:
        raise ImageError(f"{path}: labels must be uint8 or uint16 (H, W); came {_described(labels)}")
    if labels.max() > 255 or len(palette) > 255:  # with 256 classes, 255 would read as ignored
        image = Image.fromarray(labels.astype(np.uint16))
    else:
        image = Image.fromarray(labels.astype(np.uint8))
        image.putpalette(all_colors(palette, count=256).tobytes())
    with written_aside(path) as aside:
        image.save(aside, format="PNG")


def write_image(path: str | Path, image: Image.Image | NDArray[np.uint8]) -> None:
    """Write a picture in the format that the suffix of `path` names, in one step.

    Raises:
        ImageError: `image` is none, see `read_image`.
        OutputError: An unknown suffix, or the file cannot be written.
    """
    suffix = Path(path).suffix.lower()
    format = next((format for format, suffixes in FORMATS.items() if suffix in suffixes), None)
    if format is None:
        raise OutputError(f"{path}: no image format is named '{suffix}'; use .png or .jpg")
    picture = Image.fromarray(read_image(image))
    options = {"quality": 95} if format == "JPEG" else {}
    with written_aside(path) as aside:
        picture.save(aside, format=format, **options)


def write_grey(path: str | Path, values: NDArray[np.uint8]) -> None:
    """Write uint8 (H, W) as an 8-bit grey PNG, in one step. Raises OutputError: the file cannot be written."""
    with written_aside(path) as aside:
        Image.fromarray(values).save(aside, format="PNG")


def turn_upright(values: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Pixels (H, W) or (H, W, bands) as stored -> upright, by their EXIF orientation."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return values[::rows, ::columns]


def data_uri(image: NDArray[np.uint8]) -> str:
    """uint8 (H, W, 3) as the address of a PNG picture that lies inside the address, for a page of one file."""
    file = BytesIO()
    Image.fromarray(image).quantize(255).save(file, format="PNG", optimize=True)
    return f"data:image/png;base64,{b64encode(file.getvalue()).decode()}"


def as_pillow(image: NDArray[np.uint8]) -> Image.Image:
    """uint8 (H, W, 3) as a Pillow image, for showing it."""
    return Image.fromarray(image)


def resize_image(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize uint8 (H, W, 3) to `size` = (height, width), bilinear, antialiased where it shrinks."""
    height, width = size
    if image.shape[:2] == (height, width):
        return image
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def mirrored(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The top left `size` = (height, width) of uint8 (H, W, 3) that goes on in its mirror images, so that a larger
    picture is as rich as a smaller one."""
    height, width = size
    rows, columns = (max(0, wanted - there) for wanted, there in zip(size, image.shape[:2], strict=True))
    return np.pad(image, ((0, rows), (0, columns), (0, 0)), mode="symmetric")[:height, :width].copy()


def size_at(long_side: int | None, size: tuple[int, ...]) -> tuple[int, int]:
    """The (height, width) of an image of `size` scaled to `long_side`, up or down; None: as it is."""
    height, width = size
    factor = 1.0 if long_side is None else long_side / max(height, width)
    return max(1, round(height * factor)), max(1, round(width * factor))


def color_map(num_classes: int) -> NDArray[np.uint8]:
    """PASCAL VOC's colours, uint8 (num_classes, 3).

    The bits of the class number, lowest first, go in turn to red, green and blue, and there to the highest
    bit that is free.
    """
    numbers = np.arange(num_classes)
    colors = np.zeros((num_classes, 3), dtype=np.uint8)
    for place in range(8):
        for band in range(3):
            colors[:, band] |= ((numbers >> (3 * place + band) & 1) << (7 - place)).astype(np.uint8)
    return colors


def colorize(labels: NDArray[np.uint8 | np.uint16], palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The colours of a label map, uint8 (H, W, 3).

    The labels 255 and 65535, where they are no classes, are ignored pixels and become cream (`IGNORE_COLOR`);
    any other label without a class becomes black.

    Args:
        labels: uint8 or uint16 (H, W).
        palette: uint8 (num_classes, 3).
    """
    colors: NDArray[np.uint8] = all_colors(palette, count=np.iinfo(labels.dtype).max + 1)[labels]
    return colors


def heat(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The colours of values 0 .. 1, (H, W): from near black over red and orange to pale yellow, uint8 (H, W, 3)."""
    steps = np.linspace(0, 1, len(HEAT))
    bands = [np.interp(values, steps, band) for band in np.array(HEAT).T]
    colors: NDArray[np.uint8] = np.rint(np.stack(bands, axis=-1)).astype(np.uint8)
    return colors


@contextmanager
def _opened(path: str | File) -> Iterator[ImageFile.ImageFile]:
    """The file, its header read and its size checked, its pixels not decoded yet."""
    name = str(path)
    with decoding(name), bytes_of(path, name) as file, _open(file) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise ImageError(f"{name}: {height} x {width} pixels are more than the {MAX_PIXELS:,} allowed; {BY_ROWS}")
        yield image


def _check_memory(image: Image.Image, name: str) -> None:
    """Refuse an image that does not fit into memory, as Pillow holds it and as an array."""
    each = 2 * PIXEL_BYTES if image.has_transparency_data else PIXEL_BYTES
    needed, free = each * image.width * image.height, free_memory()
    if free is not None and needed > free:
        raise ImageError(
            f"{name}: {image.height} x {image.width} pixels take {needed / 2**30:.1f} GiB of memory, and "
            f"{free / 2**30:.1f} GiB are free; {BY_ROWS}"
        )


def bytes_of(path: str | File, name: str) -> BinaryIO:
    path = Path(path) if isinstance(path, str) else path
    if not isinstance(path, Path):
        return BytesIO(path.read_bytes())
    if not path.exists():
        raise InputNotFoundError(f"{name}: no such file")
    if path.is_dir():
        raise ImageError(f"{name}: is a folder; wanted an image file")
    if path.stat().st_size == 0:
        raise ImageError(f"{name}: the file is empty (0 bytes); fetch or save it again")
    return path.open("rb")


def _open(file: BinaryIO) -> ImageFile.ImageFile:
    """`Image.open` of our formats without Pillow's own limit on the size, which large photographs exceed.

    A path would let Pillow map the file into memory, which scrambles turned TIFFs (seen in 13.0).
    """
    with _open_lock:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(file, formats=tuple(FORMATS))
        finally:
            Image.MAX_IMAGE_PIXELS = limit


@contextmanager
def decoding(name: str) -> Iterator[None]:
    """Turn what a decoder raises, on a damaged file anything, into an ImageError that begins with `name`."""
    try:
        yield
    except DeepLabError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{name}: holds none of {', '.join(FORMATS)} that can be read; save it as PNG or JPEG"
        ) from error
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise ImageError(f"{name}: cannot be read ({reason}); fetch it again or save it as 8-bit PNG") from error


def _header(image: ImageFile.ImageFile) -> Header:
    colors = image.palette.getdata() if image.palette else ("", b"")
    values = list(colors[1]) if colors[0] == "RGB" else []
    return Header(
        format=image.format or "",
        mode=image.mode,
        size=(image.height, image.width),
        orientation=_orientation(image),
        alpha=image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info,
        deep=image.mode[0] in "IF" or _rawmode(image) in OTHER_BYTE,
        palette=tuple(zip(values[::3], values[1::3], values[2::3], strict=False)),
    )


def _upright(image: Image.Image) -> Image.Image:
    turn = UPRIGHT.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def _orientation(image: Image.Image) -> int:
    try:
        orientation = Image.Image.getexif(image).get(ORIENTATION_TAG, 1)  # that of PNG would decode all
    except Exception:  # damaged EXIF, on which anything may be raised; the pixels are sound
        return 1
    return orientation if orientation in UPRIGHT else 1


def orientation_of(file: BinaryIO) -> int:
    """The EXIF orientation of an image file of any kind; 1, upright, where it has none."""
    try:
        with _open(file) as image:
            return _orientation(image)
    except UnidentifiedImageError:
        return 1


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


def _array_as_rgb(array: NDArray[Any]) -> NDArray[np.uint8]:
    if array.dtype != np.uint8:
        scale = "multiply values of 0..1 by 255" if array.dtype.kind == "f" else "scale its values to 0..255"
        raise ImageError(f"an image array must be uint8; came {_described(array)}; {scale} and call .astype('uint8')")
    if array.size == 0 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)):
        raise ImageError(
            f"an image array must be (H, W, 3) in RGB or (H, W) in grey; came {_described(array)}; {_shape_hint(array)}"
        )
    return np.array(array if array.ndim == 3 else np.stack([array] * 3, axis=-1), order="C")


def _file_as_rgb(path: str | File) -> NDArray[np.uint8]:
    with _opened(path) as image:
        _check_memory(image, str(path))
        rawmode = _rawmode(image)
        rgb = _as_rgb(image, name=str(path))
    if rawmode not in OTHER_BYTE or rgb.max() > 63:
        return rgb
    other = OTHER_BYTE[rawmode]  # 14 bits or fewer: the byte that Pillow drops counts
    with _opened(path) as image:
        image.tile = [tile._replace(args=_with_rawmode(tile.args, other)) for tile in image.tile]
        low = _as_rgb(image, name=str(path))
    return _as_8_bit(rgb.astype(np.uint16) << 8 | low, name=str(path))


def _rawmode(image: ImageFile.ImageFile) -> str:
    args = image.tile[0].args if image.tile else ""
    return str(args[0] if isinstance(args, tuple) else args)


def _with_rawmode(args: Any, rawmode: str) -> Any:
    return (rawmode, *args[1:]) if isinstance(args, tuple) else rawmode


def _as_rgb(image: Image.Image, *, name: str) -> NDArray[np.uint8]:
    with decoding(name):
        image.load()
        image = _upright(image)
        if 0 in image.size:
            raise ImageError(f"{name}: has no pixels; it is {image.height} x {image.width}")
        if image.mode.startswith("I") or image.mode == "F":
            grey = _as_8_bit(np.array(image), name=name)
            return np.stack([grey] * 3, axis=-1)
        if image.has_transparency_data:
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image.convert("RGBA"))
        return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _as_8_bit(values: NDArray[Any], *, name: str) -> NDArray[np.uint8]:
    """Integers or floats of an unknown bit depth, any shape -> uint8 of that shape."""
    check_range(values, name=name, what="value")
    return scaled(values, full_scale(values.max()))


def full_scale(peak: Any) -> int:
    """The value of white in an image whose largest value is `peak`, in 0..65535, of which floats may be in 0..1."""
    if peak.dtype.kind == "f" and peak <= 1:
        return 1
    full: int = next(2**bits - 1 for bits in BIT_DEPTHS if peak <= 2**bits - 1)
    return full


def scaled(values: NDArray[Any], full: int) -> NDArray[np.uint8]:
    """Values in 0..full to 0..255."""
    result: NDArray[np.uint8] = np.rint(values * np.float32(255 / full)).astype(np.uint8)
    return result


def check_range(values: NDArray[Any], *, name: str, what: str, first_row: int = 0) -> None:
    """Every value is a number in 0..65535, or an ImageError names the first one that is not."""
    if values.min() >= 0 and values.max() <= 65535:  # false for nan
        return
    place = tuple(np.argwhere(~((values >= 0) & (values <= 65535)))[0])
    row, column = place[:2]
    raise ImageError(
        f"{name}: {what} {values[place]} at (row {first_row + row}, column {column}) is outside 0..65535;"
        " replace such pixels and save the file again"
    )


def _without_alpha(values: NDArray[np.uint8], *, name: str) -> NDArray[np.uint8]:
    """(H, W, bands + 1) whose last band is all opaque -> (H, W, bands), or (H, W) of one band."""
    holes = np.argwhere(values[..., -1] != 255)
    if len(holes):
        row, column = holes[0]
        raise ImageError(
            f"{name}: a mask has no transparent pixels, came one at (row {row}, column {column});"
            " give it a class and save the mask without alpha"
        )
    return values[..., 0] if values.shape[-1] == 2 else values[..., :-1]


def _labels_by_color(
    values: NDArray[np.uint8], palette: NDArray[np.uint8] | None, *, name: str
) -> NDArray[np.uint8 | np.uint16]:
    """(H, W, 3) in colours of the palette -> class indices (H, W)."""
    if palette is None:
        raise ImageError(f"{name}: the mask is in colours (RGB); give every class its colour, or save class indices")
    colors = _packed(np.vstack([palette, np.array(IGNORE_COLOR, np.uint8)]))
    order = np.argsort(colors, kind="stable")
    known, wanted = colors[order], _packed(values)
    place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    unlisted = np.argwhere(known[place] != wanted)
    if len(unlisted):
        row, column = unlisted[0]
        color = tuple(values[row, column].tolist())
        raise ImageError(
            f"{name}: colour {color} at (row {row}, column {column}) is no class's colour;"
            f" {len(unlisted)} pixels are such; list the colour or repair the mask"
        )
    order[order == len(palette)] = 255 if len(palette) <= 255 else 65535  # IGNORE_COLOR
    labels = order[place]
    return labels.astype(np.uint8) if len(palette) <= 255 else labels.astype(np.uint16)


def _packed(colors: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """RGB (..., 3) as one number each."""
    red, green, blue = np.moveaxis(colors.astype(np.uint32), -1, 0)
    packed: NDArray[np.uint32] = red << 16 | green << 8 | blue
    return packed


def check_png(path: str | Path) -> None:
    """Raise OutputError unless the name of a label map ends as it has to."""
    if Path(path).suffix.lower() != ".png":
        raise OutputError(f"{path}: labels are written as PNG; end the name in .png")


def all_colors(palette: NDArray[np.uint8], *, count: int) -> NDArray[np.uint8]:
    """The palette with a colour for each of `count` labels."""
    colors = np.zeros((count, 3), dtype=np.uint8)
    colors[[255, -1]] = IGNORE_COLOR
    colors[: len(palette)] = palette[:count]
    return colors


def _described(array: NDArray[Any]) -> str:
    return f"{array.dtype} {array.shape}"


def _shape_hint(array: NDArray[Any]) -> str:
    """The way out for an image array of the wrong shape."""
    if array.size == 0:
        return "it has no pixels"
    if array.ndim == 3 and array.shape[2] == 1:
        return "drop the last axis: array[..., 0]"
    if array.ndim == 3 and array.shape[2] == 4:
        return "drop the fourth band: array[..., :3]"
    if array.ndim == 3 and array.shape[0] == 3:
        return "turn it: array.transpose(1, 2, 0)"
    if array.ndim == 4:
        return "pass one image at a time"
    return "pick three bands as red, green and blue"
