"""Images as arrays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deeplab.errors import ImageError
from deeplab.files import File
from deeplab.images.depth import as_8_bit, full_scale, peak_of
from deeplab.images.opening import (
    GREY_ALPHA,
    OTHER_BYTE,
    Header,
    check_memory,
    decoding,
    exif_orientation,
    header_of,
    nodata_of,
    opened,
    rawmode_of,
    upright,
)
from deeplab.images.sizes import resize_image

__all__ = ["described", "read_image", "read_small"]

STRIP = 2**17
"""Pixels that Pillow hands out at a time: of a whole image it makes two more copies on the way."""


def read_image(source: str | File | Image.Image | NDArray[Any]) -> NDArray[np.uint8]:
    """An image as uint8 (H, W, 3) RGB, upright (EXIF orientation applied).

    Transparent pixels are laid on white: the colours kept under them are not meant to be seen. Values of more
    than 8 bits are scaled by the smallest bit depth of 8, 10, 12, 14 and 16 that holds the maximum; float
    values likewise, except that an image within 0..1, or little above, is scaled by 255. The value by which a
    GeoTIFF marks pixels without data (GDAL's nodata) does not count as the maximum.

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


def read_small(path: str | File, size: tuple[int, int]) -> tuple[Header, NDArray[np.uint8]]:
    """A picture of `size` = (height, width), whatever its shape was, as uint8 (height, width, 3) RGB, upright.

    All of the file is read, so that damage is noticed, but a JPEG is not decoded at more than about that size.
    Colours of more than 8 bits are only roughly scaled. Raises as `read_image`.
    """
    with opened(path) as image:
        header = header_of(image)
        image.draft("RGB", (size[1], size[0]))
        small = resize_image(_as_rgb(image, name=str(path)), size)
        header = replace(header, orientation=exif_orientation(image))  # it may stand behind the pixels
        return replace(header, white=_white(image, name=str(path))) if header.deep else header, small


def _white(image: Image.Image, *, name: str) -> int:
    """The full scale of a decoded file of more than 8 bits."""
    values, nodata = np.asarray(image), nodata_of(image)
    if values.ndim == 2:
        return full_scale(peak_of(values, name=name, nodata=nodata))
    high = peak_of(values[..., :3], name=name, nodata=None if nodata is None else nodata // 256)
    return full_scale(high * np.uint16(256) + np.uint16(255))  # of colours Pillow keeps the high bytes


def _array_as_rgb(array: NDArray[Any]) -> NDArray[np.uint8]:
    if array.dtype != np.uint8:
        scale = "multiply values of 0..1 by 255" if array.dtype.kind == "f" else "scale its values to 0..255"
        raise ImageError(f"an image array must be uint8; came {described(array)}; {scale} and call .astype('uint8')")
    if array.size == 0 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)):
        raise ImageError(
            f"an image array must be (H, W, 3) in RGB or (H, W) in grey; came {described(array)}; {_shape_hint(array)}"
        )
    return np.array(array if array.ndim == 3 else np.stack([array] * 3, axis=-1), order="C")


def _file_as_rgb(path: str | File) -> NDArray[np.uint8]:
    with opened(path) as image:
        check_memory(image, str(path))
        rawmode = rawmode_of(image)
        if rawmode not in OTHER_BYTE:
            return _as_rgb(image, name=str(path))
        high, nodata = _stored(image, name=str(path)), nodata_of(image)
        if peak_of(high[..., :3], name=str(path), nodata=None if nodata is None else nodata // 256) > 63:
            return _as_rgb(image, name=str(path))
    with opened(path) as image:  # 14 bits or fewer: the byte that Pillow drops counts
        image.tile = [tile._replace(args=_with_rawmode(tile.args, OTHER_BYTE[rawmode])) for tile in image.tile]
        low = _stored(image, name=str(path))
    low = low[..., 1:2] if rawmode == GREY_ALPHA else low[..., :3]
    high[..., :3] = as_8_bit(high[..., :3].astype(np.uint16) << 8 | low, name=str(path), nodata=nodata)
    return _as_rgb(Image.fromarray(high), name=str(path))


def _stored(image: Image.Image, *, name: str) -> NDArray[np.uint8]:
    """The values of a file, upright, (H, W, bands)."""
    with decoding(name):
        image.load()
        return np.array(upright(image))


def _with_rawmode(args: Any, rawmode: str) -> Any:
    return (rawmode, *args[1:]) if isinstance(args, tuple) else rawmode


def _as_rgb(image: Image.Image, *, name: str) -> NDArray[np.uint8]:
    with decoding(name):
        image.load()
        nodata = nodata_of(image)
        image = upright(image)
        if 0 in image.size:
            raise ImageError(f"{name}: has no pixels; it is {image.height} x {image.width}")
        if image.mode.startswith("I") or image.mode == "F":
            grey = as_8_bit(np.array(image), name=name, nodata=nodata)
            return np.stack([grey] * 3, axis=-1)
        if image.has_transparency_data:
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image.convert("RGBA"))
        return _pixels(image if image.mode == "RGB" else image.convert("RGB"))


def _pixels(image: Image.Image) -> NDArray[np.uint8]:
    """Those of an RGB image, strip by strip if they are many."""
    if image.width * image.height <= 4 * STRIP:
        return np.array(image)
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    rows = max(1, STRIP // image.width)
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        pixels[top:bottom] = np.asarray(image.crop((0, top, image.width, bottom)))
    return pixels


def described(array: NDArray[Any]) -> str:
    """An array in a line of text."""
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
