"""Overlapping tiles in the place of a large image: the memory that a network works in is that of one tile.

Tiles start at multiples of 32 pixels, the largest output stride, so that what the network makes of them are parts of
one coarse grid, that of the whole image. On it neighbours are blended: in the middle of what they share, the weight
goes over from the one to the other in a straight line. Where no pixel depends on others further away than the
context around that, both say the same, and so does the whole image; image-level pooling sees the tile only.

The grid ends on a multiple of 32 too: up to there the image is continued by the pixels of its edge.
Of a network that has no whole number of points on 32 pixels, whose largest scale is 0.7 say, a tile lies up to half a
point beside its place. And with `align_corners` False, in one pass the points of an image whose sides are no multiples
of the output stride are spread over just the image, and lie beside those of the grid.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deeplab.inference.network import Network

__all__ = ["Logits", "Tiled", "Window"]

GRID = 32

SHARED = 4
"""Neighbours share at least this part of a tile: a 4th."""

CONTEXT = 4
"""Of what they share, a 4th at either end is context, which does not count."""

Logits = NDArray[np.float32]
"""(N, num_classes, h, w)."""

Window = Callable[[slice, slice], NDArray[np.uint8]]
"""Rows and columns of the images -> their pixels there, uint8 (N, height, width, 3)."""


class Axis(NamedTuple):
    """The tiles along one axis, in pixels."""

    starts: Sequence[int]
    length: int
    """Of every tile; the last may reach over the end of the image."""


class Tiled:
    """A network that shows images to another one tile by tile; those that fit into a tile go to it as they are."""

    fixed_size = None

    def __init__(self, network: Network, *, tile_size: int) -> None:
        """
        Args:
            network: Of images of any size.
            tile_size: Largest side of a tile, in pixels, at least 32.
        """
        self.network, self.tile_size = network, tile_size
        self.align_corners = network.align_corners
        self.edge = int(network.align_corners)
        """How many more points a grid has than gaps between them."""

    @property
    def name(self) -> str:
        return self.network.name

    @property
    def device(self) -> Any:
        return self.network.device

    def coarse_logits(self, images: NDArray[np.uint8], /) -> Logits:
        """As in `Network`."""
        bands = self.bands(lambda rows, columns: images[:, rows, columns], (images.shape[1], images.shape[2]))
        return _joined(bands, axis=2)

    def grid_size(self, size: tuple[int, int], /) -> tuple[int, int]:
        """As in `Network`."""
        rows, columns = map(self._axis, size)
        height, width = self.network.grid_size((rows.length, columns.length))
        return rows.starts[-1] + height, columns.starts[-1] + width

    def fingerprint(self) -> bytes:
        """As in `Network`."""
        return self.network.fingerprint() + f"{self.tile_size}".encode()

    def bands(self, window: Window, size: tuple[int, int]) -> Iterator[Logits]:
        """The coarse logits of images of `size` = (height, width), from top to bottom, as rows become final.

        Args:
            window: Gives the parts of the images in the order in which they are needed: row of tiles by row of tiles.
        """
        rows, columns = map(self._axis, size)

        def look_at(row: int, column: int) -> Logits:
            pixels = window(
                slice(row, min(row + rows.length, size[0])), slice(column, min(column + columns.length, size[1]))
            )
            return self.network.coarse_logits(_continued(pixels, rows.length, columns.length))

        def row_of_tiles(row: int) -> Logits:
            tiles = map(partial(look_at, row), columns.starts)
            return _joined(_blended(tiles, columns, edge=self.edge, axis=3), axis=3)

        return _blended(map(row_of_tiles, rows.starts), rows, edge=self.edge, axis=2)

    def bands_in_all(self, height: int) -> int:
        """How many bands the logits of images of this `height` come in."""
        return len(self._axis(height).starts)

    def rows_in_all(self, first: Logits, height: int) -> int:
        """How many rows the logits of images of this `height` have, where `first` is their first band."""
        tops, length = self._axis(height)
        rows: int = first.shape[2]
        if len(tops) == 1:
            return rows
        return round((tops[-1] + length - self.edge) * rows / tops[1]) + self.edge

    def _axis(self, length: int) -> Axis:
        """As few tiles as can be along an axis of `length` pixels, at about equal distances."""
        tile = max(GRID, (self.tile_size - self.edge) // GRID * GRID)
        if length <= max(self.tile_size, tile + self.edge):
            return Axis((0,), length)
        step = max(GRID, (tile - tile // SHARED) // GRID * GRID)
        last = -(-(length - self.edge - tile) // GRID)  # in steps of the grid
        count = math.ceil(last * GRID / step)
        return Axis([last * place // count * GRID for place in range(count + 1)], tile + self.edge)


def _continued(images: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """(N, H, W, 3) -> contiguous (N, height, width, 3), by the pixels of the lower and the right edge."""
    below, beside = height - images.shape[1], width - images.shape[2]
    if below or beside:
        return np.pad(images, ((0, 0), (0, below), (0, beside), (0, 0)), mode="edge")
    return np.ascontiguousarray(images)


def _blended(tiles: Iterable[Logits], along: Axis, *, edge: int, axis: int) -> Iterator[Logits]:
    """The logits of neighbouring tiles -> those of the whole, in pieces, each as soon as it is final."""
    before: Logits | None = None  # what reaches into the present tile
    for tile, (start, following) in zip(tiles, pairwise([*along.starts, None]), strict=True):
        points = np.moveaxis(tile, axis, 0)
        if before is not None:
            shared = points[: len(before)]
            shared[...] = before + _weights(len(before)) * (shared - before)  # exact where both are equal
        if following is None:
            yield tile
            return
        assert start is not None
        per_pixel = (len(points) - edge) / (along.length - edge)
        final = round(following * per_pixel) - round(start * per_pixel)
        yield np.moveaxis(points[:final], 0, axis)
        before = points[final:]


def _weights(count: int) -> NDArray[np.float32]:
    """Of the later one of two tiles at the points that they share, (count, 1, 1, 1)."""
    context = count / CONTEXT
    weights = np.clip((np.arange(count) + 0.5 - context) / (count - 2 * context), 0, 1)
    column: NDArray[np.float32] = weights.astype(np.float32).reshape(-1, 1, 1, 1)
    return column


def _joined(pieces: Iterable[Logits], *, axis: int) -> Logits:
    """One after the other along an axis."""
    together = list(pieces)
    return together[0] if len(together) == 1 else np.concatenate(together, axis=axis)
