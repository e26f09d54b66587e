"""The connected parts of a label map, found by its runs: pixels of one label that follow each other in a row."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["LabelMap", "measure"]

Labels = NDArray[np.uint8 | np.uint16]
Indices = NDArray[np.int64]

OCTAVES = 32
"""Of areas: an object of 2^n .. 2^(n+1) - 1 pixels counts in octave n."""


class LabelMap(NamedTuple):
    """What a label map holds, by label."""

    labels: NDArray[np.int64]
    """Those that occur, ascending, (N,)."""
    pixels: NDArray[np.int64]
    """(N,)."""
    objects: NDArray[np.int64]
    """Connected parts by octave of their area, (N, OCTAVES); pixels touch at an edge or a corner."""
    object_pixels: NDArray[np.int64]
    """The pixels of those objects, (N, OCTAVES)."""
    border: int
    """Pixels with another label at their right or below."""


def measure(labels: Labels) -> LabelMap:
    """Count the pixels and the connected parts of every label in `labels`, (H, W)."""
    height, width = labels.shape
    starts = np.ones((height, width), np.bool_)
    np.not_equal(labels[:, 1:], labels[:, :-1], out=starts[:, 1:])
    first = np.flatnonzero(starts)  # of each run, in the flattened map
    end = np.append(first[1:], labels.size)
    of_run = labels.ravel()[first].astype(np.int64)

    objects = _joined(*_touching(first, end, of_run, width), count=len(first))
    area = np.bincount(objects, weights=end - first, minlength=len(first)).astype(np.int64)
    roots = np.flatnonzero(area)
    octave = np.log2(area[roots]).astype(np.int64)

    present, place = np.unique(of_run[roots], return_inverse=True)
    shape = (len(present), OCTAVES)
    cell = np.ravel_multi_index((place, octave), shape)
    cells = shape[0] * shape[1]
    number = np.bincount(cell, minlength=cells).reshape(shape)
    pixels = np.bincount(cell, weights=area[roots], minlength=cells).reshape(shape).astype(np.int64)

    other = starts[:, 1:]
    border = np.zeros((height, width), np.bool_)
    border[:, :-1] = other
    border[:-1] |= labels[1:] != labels[:-1]
    return LabelMap(present, pixels.sum(axis=1), number, pixels, int(border.sum()))


def _touching(first: Indices, end: Indices, labels: NDArray[Any], width: int) -> tuple[Indices, Indices]:
    """Pairs of runs of one label, one below the other, that touch at an edge or a corner."""
    upper = np.flatnonzero(first + width < end[-1])  # all but those of the last row
    row = (first[upper] // width + 1) * width  # where the row below begins
    left = np.maximum(first[upper] + width - 1, row)
    right = np.minimum(end[upper] + width, row + width - 1)
    low = np.searchsorted(first, left, side="right") - 1
    count = np.searchsorted(first, right, side="right") - low  # each touches those from `low` on
    above = np.repeat(upper, count)
    below = np.arange(count.sum()) + np.repeat(low - np.cumsum(count) + count, count)
    same = labels[above] == labels[below]
    return above[same], below[same]


def _joined(one: Indices, other: Indices, *, count: int) -> Indices:
    """For each of `count` things the smallest that the pairs connect it with, (count,)."""
    root = np.arange(count)
    while True:
        a, b = root[one], root[other]
        apart = a != b
        if not apart.any():
            return root
        one, other = one[apart], other[apart]
        low, high = np.minimum(a[apart], b[apart]), np.maximum(a[apart], b[apart])
        np.minimum.at(root, high, low)
        while True:  # every chain of roots becomes one step
            shorter = root[root]
            if (shorter == root).all():
                break
            root = shorter
