"""What a label map holds: its connected parts; label by label pixels, sizes of parts and borders, in one pass."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deeplab.kernels import _numba
from deeplab.kernels._numba import njit

__all__ = ["OCTAVES", "LabelMap", "Parts", "connected_parts", "measure"]

Labels = NDArray[np.uint8 | np.uint16]
Indices = NDArray[np.int64]

OCTAVES = 32
"""Of areas: a part of 2^n .. 2^(n+1) - 1 pixels counts in octave n."""


FIRST = 1024
"""Parts that there is room for at first: to fetch memory for as many as there are pixels takes as long as the work."""


class LabelMap(NamedTuple):
    """The figures of one label map."""

    labels: Indices
    """Those that occur, ascending, (N,)."""
    pixels: Indices
    """Of each label, (N,)."""
    parts: Indices
    """Connected parts by octave of their area, (N, OCTAVES); pixels touch at an edge or a corner."""
    part_pixels: Indices
    """The pixels of those parts, (N, OCTAVES)."""
    border: int
    """Pixels with another label at their right or below."""
    between: int
    """Pixels whose label lies between those at their left and right, or above and below."""


class Parts(NamedTuple):
    """The connected parts of one label map; pixels touch at an edge or a corner."""

    labels: NDArray[Any]
    """Of each part, (P,)."""
    pixels: Indices
    """Of each part, (P,)."""
    of_pixel: Indices
    """The part that each pixel is in, 0 .. P - 1, (H, W)."""


def connected_parts(labels: NDArray[Any]) -> Parts:
    """Find the connected parts of a map of integers, (H, W), of at least one pixel.

    It joins runs, pixels of one label that follow each other in a row; a map of large parts has few.
    """
    first, end, of_run = _runs(labels)
    roots = _joined(*_touching(first, end, of_run, labels.shape[1]), count=len(first))
    is_root = roots == np.arange(len(first))
    part = np.repeat((np.cumsum(is_root) - 1)[roots], end - first)
    return Parts(of_run[is_root], np.bincount(part), part.reshape(labels.shape))


def measure(labels: Labels) -> LabelMap:
    """Count the pixels and the connected parts of every label of a map, (H, W), of at least one pixel."""
    measure_parts = _measure_compiled if _numba.COMPILES else _measure_numpy
    of_part, area, border, between = measure_parts(labels.astype(np.uint16))  # of one type: compiled once
    present, place = np.unique(of_part, return_inverse=True)
    shape = (len(present), OCTAVES)
    cell = np.ravel_multi_index((place, np.log2(area).astype(np.int64)), shape)
    parts = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)
    pixels = np.bincount(cell, weights=area, minlength=shape[0] * shape[1]).reshape(shape).astype(np.int64)
    return LabelMap(present.astype(np.int64), pixels.sum(axis=1), parts, pixels, int(border), int(between))


def _measure_numpy(labels: Labels) -> tuple[Labels, Indices, int, int]:
    """The label and the area of every part, (P,), and how many pixels are at a border and between labels."""
    parts = connected_parts(labels)
    border, between = np.zeros((2, *labels.shape), np.bool_)
    border[:, :-1] = labels[:, 1:] != labels[:, :-1]
    border[:-1] |= labels[1:] != labels[:-1]
    between[:, 1:-1] = _between(labels[:, :-2], labels[:, 1:-1], labels[:, 2:])
    between[1:-1] |= _between(labels[:-2], labels[1:-1], labels[2:])
    return parts.labels, parts.pixels, int(border.sum()), int(between.sum())


def _runs(labels: NDArray[Any]) -> tuple[Indices, Indices, NDArray[Any]]:
    """The first pixel of each run in the flattened map, the one behind its last, and its label."""
    starts = np.ones(labels.shape, np.bool_)
    np.not_equal(labels[:, 1:], labels[:, :-1], out=starts[:, 1:])
    first = np.flatnonzero(starts)
    return first, np.append(first[1:], labels.size), labels.ravel()[first]


def _touching(first: Indices, end: Indices, of_run: NDArray[Any], width: int) -> tuple[Indices, Indices]:
    """Pairs of runs of one label, one below the other, that touch at an edge or a corner."""
    upper = np.flatnonzero(first + width < end[-1])  # all but those of the last row
    row = (first[upper] // width + 1) * width  # where the row below begins
    left = np.maximum(first[upper] + width - 1, row)
    right = np.minimum(end[upper] + width, row + width - 1)
    low = np.searchsorted(first, left, side="right") - 1
    count = np.searchsorted(first, right, side="right") - low  # each touches those from `low` on
    above = np.repeat(upper, count)
    below = np.arange(count.sum()) + np.repeat(low - np.cumsum(count) + count, count)
    same = of_run[above] == of_run[below]
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
        np.minimum.at(root, np.maximum(a, b)[apart], np.minimum(a, b)[apart])
        while True:  # every chain of roots becomes one step
            shorter = root[root]
            if (shorter == root).all():
                break
            root = shorter


def _between(one: Any, middle: Any, other: Any) -> Any:
    """Where the middle is larger than one and smaller than the other."""
    return ((one < middle) & (middle < other)) | ((one > middle) & (middle > other))


@njit
def _measure_compiled(labels: Labels) -> tuple[Labels, Indices, int, int]:
    """The same, pixel by pixel: each takes the part of a neighbour to its left or above, or begins one.

    Neighbours that touch each other are joined already, so that at most two are asked.
    """
    height, width = labels.shape
    parent, area, of_part = np.zeros(FIRST, np.int32), np.zeros(FIRST, np.int64), np.zeros(FIRST, labels.dtype)
    above, row = np.empty(width, np.int32), np.empty(width, np.int32)  # the part of each pixel
    count = border = between = 0
    for y in range(height):
        for x in range(width):
            label = labels[y, x]
            left = x > 0 and labels[y, x - 1] == label
            up = y > 0 and labels[y - 1, x] == label
            up_left = y > 0 and x > 0 and labels[y - 1, x - 1] == label
            up_right = y > 0 and x + 1 < width and labels[y - 1, x + 1] == label
            if left:
                part = row[x - 1]
                if up and not up_left:
                    part = _join(parent, part, above[x])
            elif up:
                part = above[x]
            elif up_left:
                part = above[x - 1]
            elif up_right:
                part = above[x + 1]
            else:
                part = np.int32(count)
                if count == len(parent):
                    parent, area, of_part = _longer(parent), _longer(area), _longer(of_part)
                parent[part], of_part[part] = part, label
                count += 1
            if up_right and not up:
                part = _join(parent, part, above[x + 1])
            row[x] = part
            area[part] += 1
            right = labels[y, x + 1] if x + 1 < width else label
            below = labels[y + 1, x] if y + 1 < height else label
            if right != label or below != label:
                border += 1
                before = labels[y, x - 1] if x > 0 else label
                over = labels[y - 1, x] if y > 0 else label
                if (
                    (before < label and label < right)
                    or (before > label and label > right)
                    or (over < label and label < below)
                    or (over > label and label > below)
                ):
                    between += 1
        above, row = row, above
    parts = 0
    for part in range(count):  # a root is older than what was joined to it
        root = _root(parent, np.int32(part))
        if root == part:
            parts += 1
        else:
            area[root] += area[part]
            area[part] = 0
    found, sizes = np.empty(parts, labels.dtype), np.empty(parts, np.int64)
    parts = 0
    for part in range(count):
        if area[part]:
            found[parts], sizes[parts] = of_part[part], area[part]
            parts += 1
    return found, sizes, border, between


@njit
def _longer(values: NDArray[Any]) -> NDArray[Any]:
    """Twice as long, with zeros at the end."""
    return np.concatenate((values, np.zeros_like(values)))


@njit
def _join(parent: NDArray[np.int32], one: np.int32, other: np.int32) -> np.int32:
    """Make two parts one, and return the older."""
    one, other = _root(parent, one), _root(parent, other)
    older = min(one, other)
    parent[max(one, other)] = older
    return older


@njit
def _root(parent: NDArray[np.int32], part: np.int32) -> np.int32:
    """What the part has been joined to."""
    while parent[part] != part:
        parent[part] = parent[parent[part]]
        part = parent[part]
    return part
