"""Values of more than 8 bits, which do not say how many."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeplab.errors import ImageError

__all__ = ["as_8_bit", "check_range", "full_scale", "peak_of", "scaled"]

BIT_DEPTHS = (8, 10, 12, 14, 16)
"""Those of cameras and scanners; they share 16-bit files, which do not say which one they hold."""


def full_scale(peak: Any) -> int:
    """The value of white in an image whose largest value is `peak`, in 0..65535, of which floats may be in 0..1.

    Those may be a little above it, as some pixels are after bicubic scaling; in 0..255 it would all be black.
    """
    if peak.dtype.kind == "f" and peak < 2:
        return 1
    full: int = next(2**bits - 1 for bits in BIT_DEPTHS if peak <= 2**bits - 1)
    return full


def scaled(values: NDArray[Any], full: int) -> NDArray[np.uint8]:
    """Values in 0..full to 0..255; others, which are no data, become the nearer of black and white, nan black."""
    brightness = np.rint(values * np.float32(255 / full))
    np.fmax(brightness, 0, out=brightness)
    np.fmin(brightness, 255, out=brightness)
    result: NDArray[np.uint8] = brightness.astype(np.uint8)
    return result


def as_8_bit(values: NDArray[Any], *, name: str, nodata: float | None = None) -> NDArray[np.uint8]:
    """Integers or floats of an unknown bit depth, any shape -> uint8 of that shape; for `nodata` see `peak_of`."""
    return scaled(values, full_scale(peak_of(values, name=name, nodata=nodata)))


def peak_of(values: NDArray[Any], *, name: str, nodata: float | None, first_row: int = 0) -> Any:
    """The largest of the values, but for `nodata`, by which the file marks the pixels that nothing is known of.

    Raises:
        ImageError: One of them is no number in 0..65535.
    """
    if nodata is not None:
        values = np.where(np.isnan(values) if math.isnan(nodata) else values == nodata, 0, values)
    check_range(values, name=name, what="value", first_row=first_row)
    return values.max()


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
