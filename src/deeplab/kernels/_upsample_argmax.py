"""The compiled version of `upsample_argmax`, apart from it because numba takes longer to load than a photo's labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deeplab.kernels._cells import those_above
from deeplab.kernels._numba import njit
from deeplab.kernels.taps import Taps

__all__ = ["fill_compiled"]

Labels = NDArray[np.uint8 | np.uint16]


@njit
def fill_compiled(
    labels: Labels, pixels: NDArray[np.float32], winners: NDArray[np.intp], down: Taps, across: Taps
) -> None:
    """As `_fill_numpy`, cell by cell, of the classes that can be on top there, by the ends of the runs of equal labels.

    No array is cut: counting who holds it, two threads would wait for each other.
    """
    height, width = labels.shape
    possible = np.empty(pixels.shape[2], np.intp)
    first = 0
    while first < height:
        t, b = down.lower[first], down.upper[first]
        last = first + 1  # of the rows between the same two coarse ones
        while last < height and down.lower[last] == t:
            last += 1
        start = 0
        while start < width:
            l, r = across.lower[start], across.upper[start]  # noqa: E741 (top, bottom, left, right)
            end = start + 1  # of the columns
            while end < width and across.lower[end] == l:
                end += 1
            if winners[t, l] < pixels.shape[2]:
                for row in range(first, last):
                    for column in range(start, end):
                        labels[row, column] = winners[t, l]
            else:
                count = those_above(possible, np.float32(0), pixels, t, b, l, r)
                for row in range(first, last):
                    f, begin = down.fraction[row], start
                    label = _winner(possible, count, pixels, t, b, l, r, f, across.fraction[start])
                    final = _winner(possible, count, pixels, t, b, l, r, f, across.fraction[end - 1])
                    while label != final:
                        inside, outside = begin, end - 1
                        while outside - inside > 1:
                            middle = (inside + outside) // 2
                            if _winner(possible, count, pixels, t, b, l, r, f, across.fraction[middle]) == label:
                                inside = middle
                            else:
                                outside = middle
                        for column in range(begin, outside):
                            labels[row, column] = label
                        begin = outside
                        label = _winner(possible, count, pixels, t, b, l, r, f, across.fraction[begin])
                    for column in range(begin, end):
                        labels[row, column] = label
            start = end
        first = last


@njit
def _winner(
    possible: NDArray[np.intp],
    count: int,
    pixels: NDArray[np.float32],
    t: int,
    b: int,
    l: int,  # noqa: E741
    r: int,
    f: np.float32,
    g: np.float32,
) -> int:
    """The class on top at a pixel of the result, of the first `count` that are possible."""
    one = np.float32(1)
    winner, highest = 0, np.float32(-np.inf)
    for place in range(count):
        label = possible[place]
        upper = (one - g) * pixels[t, l, label] + g * pixels[t, r, label]
        lower = (one - g) * pixels[b, l, label] + g * pixels[b, r, label]
        value = (one - f) * upper + f * lower
        if value > highest:
            winner, highest = label, value
    return winner
