"""The squares in which the pixels of an image lie in memory, for kernels that look at a pixel's neighbours."""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

from numpy.typing import NDArray

__all__ = ["Tile", "tiles_of"]

SIDE = 96
"""Pixels along a side: what belongs to a tile stays near the processor."""


class Tile(NamedTuple):
    """A square of pixels, which are worked on one after the other: they have the same neighbours."""

    pixels: tuple[slice, ...]
    """Where it is in the image."""
    rows: slice
    """Where its pixels are in a matrix of all pixels; the first axis of the image goes fastest."""

    def of(self, values: NDArray[Any]) -> NDArray[Any]:
        """A view of its part of (*size, channels), the axes of the pixels in reverse."""
        part = values[self.pixels]
        return part.transpose(*range(part.ndim - 1)[::-1], -1)


def tiles_of(size: tuple[int, ...]) -> list[Tile]:
    """The tiles of an image, row by row."""
    axes = [[slice(start, min(start + SIDE, length)) for start in range(0, length, SIDE)] for length in size]
    tiles, end = [], 0
    for pixels in itertools.product(*axes):
        start, end = end, end + math.prod(along.stop - along.start for along in pixels)
        tiles.append(Tile(pixels, slice(start, end)))
    return tiles
