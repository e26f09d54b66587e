"""Images that do not fit into memory, read from top to bottom, and label maps written so.

The files are read by rasterio (GDAL), which knows GeoTIFF and the other formats of maps as well.
"""

from __future__ import annotations

import math
import struct
import warnings
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from os import SEEK_END
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deeplab._optional import require
from deeplab.errors import DeepLabError, ImageError
from deeplab.files import written_aside
from deeplab.images.colors import all_colors
from deeplab.images.depth import full_scale, peak_of, scaled
from deeplab.images.labels import check_png
from deeplab.images.opening import MAX_PIXELS, bytes_of, decoding, format_of, orientation_of, size_of
from deeplab.images.sizes import resize_image

__all__ = ["LargeImage", "is_large", "open_large", "write_label_rows"]

LARGE = 2**26
"""Pixels of an image of which only some rows should be in memory: the rest takes 10 bytes each to decode."""

MAPS = (".tif", ".tiff", ".jp2", ".j2k")
"""Files in which maps are kept."""

IN_ONE_PIECE = ("AVIF",)
"""Formats that are decoded so by whatever reads them; the GDAL that comes with rasterio does not."""

SIGNATURE = b"\x89PNG\r\n\x1a\n"

CACHE_MEGABYTES = 64
"""What GDAL may keep of a file that it has decoded."""

BAND = 2**22
"""Pixels that are read at a time where all of the file is."""

REDUCED = 2
"""A picture that is made smaller is first thinned out to at least this many times its new size, as Pillow does."""


def is_large(path: str | Path) -> bool:
    """Whether a file should be read row by row, and can be: not one that is damaged, or that is no larger than may be
    read as a whole and is to be turned or of a format without rows. Maps that Pillow cannot read, as of three bands of
    floats, are whatever their size.
    """
    try:
        with bytes_of(Path(path), str(path)) as file:
            pixels = math.prod(size_of(file))
            if 0 < pixels <= LARGE or (0 < pixels <= MAX_PIXELS and _wants_all(file)):
                return False
            if not pixels and not str(path).lower().endswith(MAPS):
                return False
        require("rasterio", extra="geo")  # after that, for it takes longer to load than to segment a small image
        if not pixels:
            with open_large(path):
                return True
    except DeepLabError:
        return False
    return True


def _wants_all(file: BinaryIO) -> bool:
    """Whether an image has to be in memory as a whole: it is to be turned, or its format has no rows."""
    return orientation_of(file) != 1 or format_of(file) in IN_ONE_PIECE


@contextmanager
def open_large(path: str | Path) -> Iterator[LargeImage]:
    """An image file of any size, of which only the rows asked for are in memory.

    Raises:
        InputNotFoundError: No such file.
        ImageError: It cannot be read, has bands that are not colours, or is turned by its EXIF orientation.
        MissingExtraError: rasterio is not installed.
    """
    rasterio = require("rasterio", extra="geo")
    name = str(path)
    with bytes_of(Path(path), name) as file:
        if orientation_of(file) != 1:
            raise ImageError(f"{name}: is turned by its EXIF orientation; save an image of this size upright")
        if _is_cut(file):
            raise ImageError(f"{name}: ends before the picture does; fetch it again")
    options = {"GDAL_CACHEMAX": CACHE_MEGABYTES, "GDAL_ERROR_ON_LIBJPEG_WARNING": True}
    with rasterio.Env(**options), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pictures that are no maps
        with decoding(name):
            opened = rasterio.open(path)
        with opened:
            yield LargeImage(opened, name=name)


def _is_cut(file: BinaryIO) -> bool:
    """Whether a PNG file has no end, over which GDAL says nothing."""
    file.seek(0)
    if file.read(len(SIGNATURE)) != SIGNATURE:
        return False
    file.seek(-min(file.seek(0, SEEK_END), 4096), SEEK_END)
    return b"IEND" not in file.read()


class LargeImage:
    """Rows of an image as uint8 RGB, as `read_image` gives them; transparent pixels are laid on white.

    For values of more than 8 bits, one more pass over the file finds their bit depth.
    """

    def __init__(self, file: Any, *, name: str) -> None:
        """
        Args:
            file: A dataset of rasterio.

        Raises:
            ImageError: Its bands are not colours.
        """
        self.file, self.name = file, name
        self.size: tuple[int, int] = (file.height, file.width)
        kinds = [kind.name for kind in file.colorinterp]
        self.alpha = len(kinds) in (2, 4) and kinds[-1] == "alpha"
        if kinds in (["gray", "undefined"], ["red", "green", "blue", "undefined"]):
            kinds.pop()  # near infrared, or nothing that is meant to be seen
        self.bands = list(range(1, len(kinds) + 1))
        self.palette: NDArray[np.uint8] | None = None
        if kinds == ["palette"]:
            self.palette = np.array([file.colormap(1).get(index, (0, 0, 0, 255)) for index in range(256)], np.uint8)
        elif len(kinds) - self.alpha not in (1, 3):
            raise ImageError(
                f"{name}: has {len(kinds)} bands; wanted grey or red, green and blue; keep three, as in "
                "gdal_translate -b 1 -b 2 -b 3 before.tif after.tif"
            )
        in_bytes = file.dtypes[0] == "uint8"
        self.hides_color = file.driver == "PNG" and file.nodata is not None and in_bytes and self.palette is None
        self.nodata: float | None = file.nodata if file.driver == "GTiff" else None

    def rows(self, start: int, stop: int) -> NDArray[np.uint8]:
        """uint8 (stop - start, W, 3); to go back up costs most formats a new start.

        Raises:
            ImageError: These rows are damaged, or values of the image are no numbers in 0..65535.
        """
        pixels = self._read(start, stop)
        if self.palette is not None:
            pixels = self.palette[pixels[..., 0]]
        colors = pixels[..., :-1] if self.alpha or self.palette is not None else pixels
        if self.full != 255 or colors.dtype != np.uint8:
            colors = scaled(colors, self.full)
        if self.alpha or self.palette is not None:
            opaque = pixels[..., -1:] / np.float32(self._opaque())
            colors = np.rint(255 - opaque * (255 - colors.astype(np.float32))).astype(np.uint8)
        elif self.hides_color:
            shown = self.file.dataset_mask(window=self._window(start, stop))
            colors = np.where(shown[..., np.newaxis] == 0, 255, colors)
        if colors.shape[2] == 1:
            colors = np.repeat(colors, 3, axis=2)
        return np.ascontiguousarray(colors)

    def resized(self, size: tuple[int, int]) -> NDArray[np.uint8]:
        """The whole image at `size` = (height, width): uint8 (height, width, 3)."""
        factor = max(1, min(there // (REDUCED * wanted) for there, wanted in zip(self.size, size, strict=True)))
        step = max(1, BAND // self.size[1] // factor) * factor
        bands = (self.rows(start, min(start + step, self.size[0])) for start in range(0, self.size[0], step))
        return resize_image(np.concatenate([_thinned(band, factor) for band in bands]), size)

    def _read(self, start: int, stop: int) -> NDArray[Any]:
        """The stored values, (stop - start, W, bands)."""
        with decoding(self.name):
            return np.moveaxis(self.file.read(self.bands, window=self._window(start, stop)), 0, -1)

    def _window(self, start: int, stop: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Rows as rasterio names them."""
        return (start, stop), (0, self.size[1])

    @cached_property
    def full(self) -> int:
        """The value of white; where values have more than 8 bits, by the largest that there is."""
        if self.palette is not None:
            return 255
        if self.file.dtypes[0] == "uint8":
            return int(2 ** int(self.file.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", 8)) - 1)
        peaks = []
        step = max(1, BAND // self.size[1])
        for start in range(0, self.size[0], step):
            values = self._read(start, min(start + step, self.size[0]))
            values = values[..., :-1] if self.alpha else values
            peaks.append(peak_of(values, name=self.name, nodata=self.nodata, first_row=start))
        return full_scale(max(peaks))

    def _opaque(self) -> int:
        """The value of transparency where there is none."""
        dtype = self.file.dtypes[0]
        return np.iinfo(dtype).max if dtype != "uint8" and "int" in dtype else self.full


def _thinned(image: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """(H, W, 3) -> (ceil(H / factor), ceil(W / factor), 3), the means of squares."""
    return image if factor == 1 else np.array(Image.fromarray(image).reduce(factor))


def write_label_rows(
    path: str | Path,
    rows: Iterable[NDArray[np.uint8 | np.uint16]],
    *,
    size: tuple[int, int],
    palette: NDArray[np.uint8],
) -> None:
    """Write class indices as `write_labels` does, from top to bottom as they come.

    Args:
        path: Ends in .png; replaced in one step, after the last row.
        rows: Strips of labels, (h, W), H rows in all.
        size: (H, W).
        palette: uint8 (num_classes, 3); more than 255 classes are written as 16-bit grey.

    Raises:
        OutputError: Another suffix, or the file cannot be written.
    """
    check_png(path)
    deep = len(palette) > 255
    kind = (16, 0) if deep else (8, 3)  # bits and grey, or a palette
    packer = zlib.compressobj()
    with written_aside(path) as aside, aside.open("wb") as file:
        file.write(SIGNATURE)
        file.write(_chunk(b"IHDR", struct.pack(">IIBBBBB", size[1], size[0], *kind, 0, 0, 0)))
        if not deep:
            file.write(_chunk(b"PLTE", all_colors(palette, count=256).tobytes()))
        for strip in rows:
            values = np.ascontiguousarray(strip, ">u2" if deep else np.uint8).view(np.uint8)
            unfiltered = np.pad(values, ((0, 0), (1, 0)))  # each row begins with the number of its filter, 0
            file.write(_chunk(b"IDAT", packer.compress(unfiltered.tobytes())))
        file.write(_chunk(b"IDAT", packer.flush()) + _chunk(b"IEND", b""))


def _chunk(kind: bytes, content: bytes) -> bytes:
    """A part of a PNG file (https://www.w3.org/TR/png, section 5.3)."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
