"""Bilinear upsampling and argmax in one, without the upsampled logits.

Along a row, between two coarse columns, every class is a straight line. So the pixels where one class is on
top are one run, and a class that is on top at all four corners of a coarse cell is on top in the whole cell:
such cells are filled, and in the others only the ends of the runs are searched for. The labels are exact;
another implementation may choose differently only where two classes are within float32's rounding.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deeplab.kernels import _numba
from deeplab.kernels._numba import njit

__all__ = ["Taps", "sample_argmax", "taps", "upsample_argmax"]

Labels = NDArray[np.uint8 | np.uint16]

STRIP = 2**21
"""Scores (pixels x classes) that a thread works on at a time: bounds the memory of the numpy version."""


class Taps(NamedTuple):
    """Linear interpolation along one axis: value = (1 - fraction) * x[lower] + fraction * x[upper]."""

    lower: NDArray[np.intp]
    upper: NDArray[np.intp]
    fraction: NDArray[np.float32]


def upsample_argmax(logits: NDArray[np.float32], size: tuple[int, int], *, align_corners: bool) -> Labels:
    """The class with the highest logit at each pixel of the resized logits; the lowest class of equal ones.

    Args:
        logits: float32 (num_classes, h, w), finite.
        size: (height, width) of the result.
        align_corners: Whether corner pixel centres (True) or the outer edges (False) lie on each other.

    Returns:
        uint8 (height, width), or uint16 for more than 256 classes.
    """
    _, height, width = logits.shape
    rows = _resized(height, size[0], align_corners=align_corners)
    columns = _resized(width, size[1], align_corners=align_corners)
    return sample_argmax(logits, rows, columns)


def sample_argmax(logits: NDArray[np.float32], rows: NDArray[np.float64], columns: NDArray[np.float64]) -> Labels:
    """The class with the highest logit at each point of a grid; the lowest class of equal ones.

    Args:
        logits: float32 (num_classes, h, w), finite.
        rows: Ascending float64 (H,), in rows of `logits`; beyond the first and the last one these go on.
        columns: The same for columns, (W,).

    Returns:
        uint8 (H, W), or uint16 for more than 256 classes.
    """
    num_classes, height, width = logits.shape
    pixels = np.ascontiguousarray(logits.transpose(1, 2, 0), dtype=np.float32)  # (h, w, C)
    winners = _cell_winners(pixels)
    down, across = taps(rows, height), taps(columns, width)
    labels: Labels = np.empty((len(rows), len(columns)), np.uint8 if num_classes <= 256 else np.uint16)
    fill: Callable[..., None] = _fill_compiled if _numba.COMPILES else _fill_numpy

    def fill_strip(strip: slice) -> None:
        fill(labels[strip], pixels, winners, *(tap[strip] for tap in down), *across)

    step = max(1, STRIP // max(1, len(columns) * num_classes))
    strips = [slice(start, start + step) for start in range(0, len(rows), step)]
    with ThreadPoolExecutor(os.cpu_count() or 1) as threads:
        list(threads.map(fill_strip, strips))
    return labels


def taps(coordinates: NDArray[np.float64], length: int) -> Taps:
    """The neighbours of each coordinate on an axis of `length` points; beyond its ends the end goes on."""
    inside = np.clip(coordinates, 0, length - 1)
    lower = inside.astype(np.intp)
    return Taps(lower, np.minimum(lower + 1, length - 1), (inside - lower).astype(np.float32))


def _resized(old: int, new: int, *, align_corners: bool) -> NDArray[np.float64]:
    """Where the `new` points of a resized axis lie among its `old` ones."""
    points = np.arange(new, dtype=np.float64)
    if align_corners:
        return points * ((old - 1) / max(new - 1, 1))
    return (points + 0.5) * (old / new) - 0.5


def _cell_winners(pixels: NDArray[np.float32]) -> NDArray[np.intp]:
    """(h, w, C) -> by a cell's top left corner, the class on top at all its corners; C where they differ."""
    best: NDArray[np.intp] = pixels.argmax(axis=2)
    below = np.concatenate([best[1:], best[-1:]])
    agree = best == below
    for corner in (best, below):
        agree &= best == np.concatenate([corner[:, 1:], corner[:, -1:]], axis=1)
    best[~agree] = pixels.shape[2]
    return best


def _fill_numpy(
    labels: Labels,
    pixels: NDArray[np.float32],
    winners: NDArray[np.intp],
    top: NDArray[np.intp],
    bottom: NDArray[np.intp],
    down: NDArray[np.float32],
    left: NDArray[np.intp],
    right: NDArray[np.intp],
    across: NDArray[np.float32],
) -> None:
    """The reference: every pixel of a disputed cell by its definition."""
    labels_here = winners[top][:, left]
    row, column = np.nonzero(labels_here == pixels.shape[2])
    t, b, f = top[row], bottom[row], down[row, None]
    l, r, g = left[column], right[column], across[column, None]  # noqa: E741 (top, bottom, left, right)
    upper = (1 - g) * pixels[t, l] + g * pixels[t, r]  # (disputed pixels, C)
    lower = (1 - g) * pixels[b, l] + g * pixels[b, r]
    labels_here[row, column] = ((1 - f) * upper + f * lower).argmax(axis=1)
    labels[:] = labels_here


@njit
def _fill_compiled(
    labels: Labels,
    pixels: NDArray[np.float32],
    winners: NDArray[np.intp],
    top: NDArray[np.intp],
    bottom: NDArray[np.intp],
    down: NDArray[np.float32],
    left: NDArray[np.intp],
    right: NDArray[np.intp],
    across: NDArray[np.float32],
) -> None:
    """The same, by the ends of the runs of equal labels."""
    height, width = labels.shape
    for row in range(height):
        t, b, f = top[row], bottom[row], down[row]
        start = 0
        while start < width:
            end = start + 1  # of the pixels between the same two coarse columns
            while end < width and left[end] == left[start]:
                end += 1
            label = winners[t, left[start]]
            if label == pixels.shape[2]:
                label = _winner(pixels, t, b, f, left[start], right[start], across[start])
                last = _winner(pixels, t, b, f, left[end - 1], right[end - 1], across[end - 1])
                while label != last:
                    inside, outside = start, end - 1
                    while outside - inside > 1:
                        middle = (inside + outside) // 2
                        if _winner(pixels, t, b, f, left[middle], right[middle], across[middle]) == label:
                            inside = middle
                        else:
                            outside = middle
                    labels[row, start:outside] = label
                    start = outside
                    label = _winner(pixels, t, b, f, left[start], right[start], across[start])
            labels[row, start:end] = label
            start = end


@njit
def _winner(
    pixels: NDArray[np.float32],
    top: int,
    bottom: int,
    down: np.float32,
    left: int,
    right: int,
    across: np.float32,
) -> int:
    one = np.float32(1)
    winner, highest = 0, np.float32(-np.inf)
    for label in range(pixels.shape[2]):
        upper = (one - across) * pixels[top, left, label] + across * pixels[top, right, label]
        lower = (one - across) * pixels[bottom, left, label] + across * pixels[bottom, right, label]
        value = (one - down) * upper + down * lower
        if value > highest:
            winner, highest = label, value
    return winner
