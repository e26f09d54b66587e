"""The permutohedral lattice around the pixels of an image, tile by tile: Gaussian smoothing by position alone.

The filter is that of `permutohedral`, to float32's rounding. Here the features are a pixel's x and y over their
standard deviations, so that no corner need be looked up: the lattice is hexagonal, its corners lie in columns, as
pixels do, and a pixel lies between two columns. A tile is filtered in one sweep from left to right: pixels are spread
over the corners of the columns, a column is blurred as soon as its neighbours are complete, and pixels gather from
it. Few columns are at hand at a time, so that the corners never leave the processor's cache, which is what takes the
time where there are more corners than pixels.

Columns are counted along x, and the lines of a column's corners along y. Columns with odd numbers lie half a line
further on; the neighbours of a corner along the three axes of the lattice are (axis 0) one column before and one
behind, (axis 1) one behind and one before, on the other lines that are next to it, and (axis 2) one line away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deeplab.kernels import _numba
from deeplab.kernels._numba import njit
from deeplab.kernels._simd import LANES, add, full, load, multiply_add, store
from deeplab.kernels._workers import Workers
from deeplab.kernels.lattice_building import embed
from deeplab.kernels.pixel_tiles import Tile

__all__ = ["FINE_SIGMAS", "LONGEST", "PixelLattice", "build_pixel_lattice"]

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]

REACH = 4
"""Standard deviations beyond which a pixel has no part in the filtered value: two corners, and one at either end."""

MARGIN = 6
"""The column and the line of the corner at the first pixel, an even number; a sweep reaches 4 beyond the corners."""

LONGEST = 2**14
"""Pixels along a side, at most: columns, 1.16 for a standard deviation, count to 2^15, and lines to 2^16."""

FINE_SIGMAS = (0.75, 2.0)
"""Standard deviations, in pixels, for which this is the faster lattice. With smaller ones it goes through corners that
no pixel touches; with larger ones there are few corners, which stay at hand in any case."""

STEPS = np.array([2**32, 1, 0], np.uint64)
"""Of the keys of the corners: the first two coordinates are their halves."""

MIDDLE = np.uint64(2**31)
"""Makes the lower half positive."""


class Region(NamedTuple):
    """Rows and columns of an image, from the first to the one behind the last."""

    top: int
    bottom: int
    left: int
    right: int


@dataclass(frozen=True, eq=False)
class PixelLattice:
    """The lattice around the pixels of an image (H, W), which lie in any order: pixel n of N = H W."""

    places: Integers
    """int32 (H, W): the number of each pixel."""
    corners: Integers
    """int32 (N, 3): those around each pixel, the column times 2^16 plus the line."""
    weights: Floats
    """float32 (N, 3): the pixel's barycentric weights at them."""
    spans: Integers
    """int32 (W, 2): the first and the last column of the corners around the pixels at each x."""
    touched: NDArray[np.bool_]
    """bool: whether there is a corner at a column and a line; none lies at the margins."""
    reach: tuple[int, int]
    """Rows and columns of pixels around a region that have a part in its filtered values."""

    gain = 1 / (1 + 0.5**2)
    """As `Lattice.gain`."""

    def filter(self, values: Floats, tiles: list[Tile], *, workers: Workers | None = None) -> Floats:
        """As `Lattice.filter`: each pixel's sum of the values of all pixels.

        Args:
            values: float32 (N, C), C a multiple of 8.
            tiles: Of the whole image.

        Returns:
            float32 (N, C).
        """
        result = np.zeros_like(values)
        (workers or Workers(1)).map(
            lambda tile: self.gather(values, self.weights, self.weights, self.gain, tile, result[tile.rows]), tiles
        )
        return result

    def gather(self, values: Floats, shares: Floats, weights: Floats, factor: float, tile: Tile, out: Floats) -> None:
        """Splat, blur and slice: add to `out` what the pixels of a tile gather, times a factor.

        Args:
            values: float32 (N, C), C a multiple of 8.
            shares: `self.weights`, or those times a factor for each pixel, for the way to the corners.
            weights: The same for the way back.
            out: float32 (pixels of the tile, C).
        """
        gather = _gather_compiled if _numba.COMPILES else _gather_numpy
        gather(
            values,
            self.places,
            self.corners,
            self.spans,
            shares,
            weights,
            self.touched,
            np.float32(factor),
            _region(tile, self.places.shape, (0, 0)),
            _region(tile, self.places.shape, self.reach),
            tile.rows.start,
            out,
        )


def build_pixel_lattice(
    features: Floats, tiles: list[Tile], sigmas: tuple[float, float], *, workers: Workers | None = None
) -> PixelLattice:
    """The lattice around the pixels of an image.

    Args:
        features: float32 (N, 2): x and y of each pixel over their standard deviations, from 0 on, tile by tile.
        tiles: Of the whole image, whose sides have at most `LONGEST` pixels.
        sigmas: The standard deviations of y and x, in pixels.
    """
    workers = workers or Workers(1)
    places = np.empty([along.stop for along in tiles[-1].pixels], np.int32)
    for tile in tiles:
        target = tile.of(places[..., np.newaxis])
        target[...] = np.arange(tile.rows.start, tile.rows.stop).reshape(target.shape)
    keys, weights = embed(features, STEPS, workers)
    corners = np.empty(weights.shape, np.int32)
    read, touch = (_read_compiled, _touch_compiled) if _numba.COMPILES else (_read_numpy, _touch_numpy)
    workers.each(lambda first, end: read(keys[:, first:end], corners[first:end]), len(corners))
    touched = np.zeros(((corners >> 16).max() + MARGIN, (corners & 0xFFFF).max() + MARGIN), np.bool_)
    spans = np.empty((places.shape[1], 2), np.int32)
    touch(places, corners, touched, spans)
    reach = math.ceil(REACH * sigmas[0]), math.ceil(REACH * sigmas[1])
    return PixelLattice(places, corners, weights, spans, touched, reach)


def _region(tile: Tile, size: tuple[int, ...], reach: tuple[int, int]) -> Region:
    """The pixels of a tile, and so many rows and columns around it."""
    rows, columns = tile.pixels
    return Region(
        max(0, rows.start - reach[0]),
        min(size[0], rows.stop + reach[0]),
        max(0, columns.start - reach[1]),
        min(size[1], columns.stop + reach[1]),
    )


def _read_numpy(keys: NDArray[np.uint64], corners: Integers) -> None:
    """The columns and lines of corners, from their keys."""
    first = ((keys + MIDDLE).view(np.int64) >> 32).astype(np.int32)
    second = keys.astype(np.uint32).view(np.int32)
    columns = (first - second) // 3  # exact: a corner's coordinates are equal modulo 3
    lines = (first + second - (columns & 1)) // 2
    corners.T[...] = (columns + MARGIN << 16) + lines + MARGIN


def _touch_numpy(places: Integers, corners: Integers, touched: NDArray[np.bool_], spans: Integers) -> None:
    """Fill in these fields of `PixelLattice`."""
    touched[corners >> 16, corners & 0xFFFF] = True
    columns = corners[places] >> 16
    spans[:, 0], spans[:, 1] = columns.min(axis=(0, 2)), columns.max(axis=(0, 2))


def _gather_numpy(
    rows: Floats,
    places: Integers,
    corners: Integers,
    spans: Integers,
    shares: Floats,
    weights: Floats,
    touched: NDArray[np.bool_],
    factor: np.float32,
    region: Region,
    near: Region,
    first: int,
    out: Floats,
) -> None:
    """As `PixelLattice.gather`.

    Args:
        near: The pixels that have a part in it.
        first: The number of the region's first pixel.
    """
    columns, lines = corners >> 16, corners & 0xFFFF
    points = places[near.top : near.bottom, near.left : near.right].ravel()
    column, line = columns[points].min() - 1, lines[points].min() - 1
    there = touched[column : columns[points].max() + 2, line : lines[points].max() + 2, np.newaxis]
    values = np.zeros((*there.shape[:2], rows.shape[1]), np.float32)
    brought = shares[points][..., np.newaxis] * rows[points][:, np.newaxis]
    np.add.at(values, (columns[points] - column, lines[points] - line), brought)
    inner = slice(1, values.shape[1] - 1)
    for before, behind in ((-1, 1), (1, -1), (0, 0)):
        around = np.zeros_like(values)
        for odd in (0, 1):
            own = np.arange(1 + (column + 1 + odd) % 2, len(values) - 1, 2)
            up, down = (odd - 1, odd) if before else (-1, 1)
            around[own, inner] = (
                np.roll(values[own + before], -up, axis=1)[:, inner]
                + np.roll(values[own + behind], -down, axis=1)[:, inner]
            )
        values = np.where(there, values + np.float32(0.5) * around, np.float32(0))
    some = slice(first, first + len(out))
    for of_column, of_line, weight in zip(columns[some].T, lines[some].T, weights[some].T, strict=True):
        out += (factor * weight)[:, np.newaxis] * values[of_column - column, of_line - line]


@njit
def _read_compiled(keys: NDArray[np.uint64], corners: Integers) -> None:
    for n in range(len(corners)):
        for corner in range(3):
            key = keys[corner, n] + MIDDLE
            first = np.int64(key) >> 32
            second = np.int64(key & np.uint64(0xFFFFFFFF)) - np.int64(MIDDLE)
            column = (first - second) // 3
            line = (first + second - (column & 1)) >> 1
            corners[n, corner] = ((column + MARGIN) << 16) + line + MARGIN


@njit
def _touch_compiled(places: Integers, corners: Integers, touched: NDArray[np.bool_], spans: Integers) -> None:
    for x in range(places.shape[1]):
        spans[x] = corners[places[0, x], 0] >> 16
        for y in range(places.shape[0]):
            for corner in corners[places[y, x]]:
                column = corner >> 16
                touched[column, corner & 0xFFFF] = True
                spans[x, 0], spans[x, 1] = min(spans[x, 0], column), max(spans[x, 1], column)


@njit
def _gather_compiled(
    rows: Floats,
    places: Integers,
    corners: Integers,
    spans: Integers,
    shares: Floats,
    weights: Floats,
    touched: NDArray[np.bool_],
    factor: np.float32,
    region: Region,
    near: Region,
    first: int,
    out: Floats,
) -> None:
    channels = rows.shape[1]
    low, high = _lines(places, corners, region)
    near_low, near_high = _lines(places, corners, near)
    start, end = min(low - 3, near_low), max(high + 3, near_high) + 1
    depth = end - start
    # rings of columns: what pixels bring, the same blurred along axis 0, and along all three
    splat = np.zeros((8 * depth, channels), np.float32)
    mixed = np.zeros((4 * depth, channels), np.float32)
    blurred = np.zeros((4 * depth, channels), np.float32)
    column = spans[near.left, 0]
    splatted, gathered, zeroed = near.left, region.left, column + 3
    while gathered < region.right:
        while zeroed <= column + 2:
            splat[(zeroed & 7) * depth : (zeroed & 7) * depth + depth] = 0
            zeroed += 1
        while splatted < near.right and spans[splatted, 0] <= column:
            for y in range(near.top, near.bottom):
                n = places[y, splatted]
                a, b, c = full(shares[n, 0]), full(shares[n, 1]), full(shares[n, 2])
                to_a, to_b, to_c = (
                    _row(corners[n, 0], 7, start, depth),
                    _row(corners[n, 1], 7, start, depth),
                    _row(corners[n, 2], 7, start, depth),
                )
                for at in range(0, channels, LANES):
                    value = load(rows, n, at)
                    store(splat, to_a, at, multiply_add(a, value, load(splat, to_a, at)))
                    store(splat, to_b, at, multiply_add(b, value, load(splat, to_b, at)))
                    store(splat, to_c, at, multiply_add(c, value, load(splat, to_c, at)))
            splatted += 1
        _blur_first(splat, mixed, touched, column - 1, start, low - 2, high + 3, depth)
        _blur_others(mixed, blurred, touched, column - 2, start, low, high + 1, depth)
        while gathered < region.right and spans[gathered, 1] <= column - 2:
            for y in range(region.top, region.bottom):
                n = places[y, gathered]
                a, b, c = full(factor * weights[n, 0]), full(factor * weights[n, 1]), full(factor * weights[n, 2])
                of_a, of_b, of_c = (
                    _row(corners[n, 0], 3, start, depth),
                    _row(corners[n, 1], 3, start, depth),
                    _row(corners[n, 2], 3, start, depth),
                )
                for at in range(0, channels, LANES):
                    value = multiply_add(a, load(blurred, of_a, at), load(out, n - first, at))
                    value = multiply_add(b, load(blurred, of_b, at), value)
                    store(out, n - first, at, multiply_add(c, load(blurred, of_c, at), value))
            gathered += 1
        column += 1


@njit
def _row(corner: int, mask: int, start: int, depth: int) -> int:
    """Where a corner is in a ring of `mask` + 1 columns."""
    return ((corner >> 16) & mask) * depth + (corner & 0xFFFF) - start


@njit
def _lines(places: Integers, corners: Integers, region: Region) -> tuple[int, int]:
    """The first and the last line of the corners around the pixels of a region."""
    low, high = 0xFFFF, 0
    for x in range(region.left, region.right):
        for corner in corners[places[region.top, x]]:
            low = min(low, corner & 0xFFFF)
        for corner in corners[places[region.bottom - 1, x]]:
            high = max(high, corner & 0xFFFF)
    return low, high


@njit
def _blur_first(
    splat: Floats, mixed: Floats, touched: NDArray[np.bool_], column: int, start: int, low: int, end: int, depth: int
) -> None:
    """A column blurred along axis 0, from line `low` to `end`."""
    half, zero, odd = full(np.float32(0.5)), full(np.float32(0)), column & 1
    if column < 0 or column >= len(touched):
        mixed[(column & 3) * depth : (column & 3) * depth + depth] = 0
        return
    own, to = (column & 7) * depth - start, (column & 3) * depth - start
    before, behind = ((column - 1) & 7) * depth - start + odd - 1, ((column + 1) & 7) * depth - start + odd
    for line in range(low, end):
        there = touched[column, line]
        for at in range(0, splat.shape[1], LANES):
            value = zero
            if there:
                around = add(load(splat, before + line, at), load(splat, behind + line, at))
                value = multiply_add(half, around, load(splat, own + line, at))
            store(mixed, to + line, at, value)


@njit
def _blur_others(
    mixed: Floats, blurred: Floats, touched: NDArray[np.bool_], column: int, start: int, low: int, end: int, depth: int
) -> None:
    """A column blurred along axes 1 and 2, from line `low` to `end`."""
    if column < 0 or column >= len(touched):
        return
    half, to = full(np.float32(0.5)), (column & 3) * depth - start
    for at in range(0, mixed.shape[1], LANES):
        before = _blurred(mixed, touched, column, low - 1, start, depth, at)
        value = _blurred(mixed, touched, column, low, start, depth, at)
        for line in range(low, end):
            behind = _blurred(mixed, touched, column, line + 1, start, depth, at)
            store(blurred, to + line, at, multiply_add(half, add(before, behind), value))
            before, value = value, behind


@njit
def _blurred(mixed: Floats, touched: NDArray[np.bool_], column: int, line: int, start: int, depth: int, at: int) -> Any:
    """Part of a corner's value blurred along axis 1."""
    if not touched[column, line]:
        return full(np.float32(0))
    odd = column & 1
    before = load(mixed, ((column + 1) & 3) * depth + line - start + odd - 1, at)
    behind = load(mixed, ((column - 1) & 3) * depth + line - start + odd, at)
    own = load(mixed, (column & 3) * depth + line - start, at)
    return multiply_add(full(np.float32(0.5)), add(before, behind), own)
