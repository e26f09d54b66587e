"""Overlapping tiles of a large image, of which the centre is kept: the network's memory is that of one tile.

Tiles start at multiples of 32 pixels, the largest output stride, so that each samples the same grid as the
whole image. Neighbours share a quarter of a tile, and each keeps its half of that: an eighth of a tile is
context. Where no pixel depends on others further away than that, no seam shows, and the result is that of the
whole image; image-level pooling sees the tile only.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Span", "tile_spans", "tiles"]

GRID = 32


class Span(NamedTuple):
    """A tile along one axis, in pixels of an image of `length`: its window, and what of it is kept."""

    window: slice
    kept: slice
    length: int

    def output(self, pixels: int) -> tuple[slice, NDArray[np.float64]]:
        """What is kept, in an output of `pixels` along this axis.

        Returns:
            The part of the output, and where its pixel centres lie: 0 is the start of the window, 1 its end.
        """
        centres = (np.arange(pixels) + 0.5) * (self.length / pixels)
        start, stop = np.searchsorted(centres, [self.kept.start, self.kept.stop])
        inside = (centres[start:stop] - self.window.start) / (self.window.stop - self.window.start)
        return slice(int(start), int(stop)), inside


def tiles(size: tuple[int, int], *, tile: int | None) -> list[tuple[Span, Span]]:
    """The (rows, columns) of every tile of an image of `size` = (height, width), whose kept parts make it up.

    Args:
        tile: Side of a tile in pixels; None: the image is one tile.
    """
    height, width = size
    return list(itertools.product(tile_spans(height, tile=tile), tile_spans(width, tile=tile)))


def tile_spans(length: int, *, tile: int | None) -> list[Span]:
    """The tiles along one axis of `length` pixels; one where it fits into a tile."""
    if tile is None or length <= tile:
        return [Span(slice(0, length), slice(0, length), length)]
    step = max(GRID, (tile - tile // 4) // GRID * GRID)
    last = -(-(length - tile) // GRID) * GRID
    starts = [*range(0, length - tile, step), last]
    stops = [min(start + tile, length) for start in starts]
    cuts = [0, *((stop + start) // 2 for stop, start in zip(stops, starts[1:], strict=False)), length]
    return [
        Span(slice(start, stop), slice(*kept), length)
        for start, stop, kept in zip(starts, stops, itertools.pairwise(cuts), strict=True)
    ]
