"""The compiled version of `upsample_argmax`, apart from it because numba takes longer to load than a photo's labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deeplab.kernels._numba import njit
from deeplab.kernels.taps import Taps

__all__ = ["fill_compiled"]

Labels = NDArray[np.uint8 | np.uint16]


@njit
def fill_compiled(
    labels: Labels, pixels: NDArray[np.float32], winners: NDArray[np.intp], down: Taps, across: Taps
) -> None:
    """As `_fill_numpy`, by the ends of the runs of equal labels."""
    height, width = labels.shape
    for row in range(height):
        top = down.lower[row]
        start = 0
        while start < width:
            left = across.lower[start]
            end = start + 1  # of the pixels between the same two coarse columns
            while end < width and across.lower[end] == left:
                end += 1
            label = winners[top, left]
            if label == pixels.shape[2]:
                label = _winner(pixels, down, across, row, start)
                last = _winner(pixels, down, across, row, end - 1)
                while label != last:
                    inside, outside = start, end - 1
                    while outside - inside > 1:
                        middle = (inside + outside) // 2
                        if _winner(pixels, down, across, row, middle) == label:
                            inside = middle
                        else:
                            outside = middle
                    labels[row, start:outside] = label
                    start = outside
                    label = _winner(pixels, down, across, row, start)
            labels[row, start:end] = label
            start = end


@njit
def _winner(pixels: NDArray[np.float32], down: Taps, across: Taps, row: int, column: int) -> int:
    """The class on top at a pixel of the result."""
    top, bottom, f = down.lower[row], down.upper[row], down.fraction[row]
    left, right, g = across.lower[column], across.upper[column], across.fraction[column]
    one = np.float32(1)
    winner, highest = 0, np.float32(-np.inf)
    for label in range(pixels.shape[2]):
        upper = (one - g) * pixels[top, left, label] + g * pixels[top, right, label]
        lower = (one - g) * pixels[bottom, left, label] + g * pixels[bottom, right, label]
        value = (one - f) * upper + f * lower
        if value > highest:
            winner, highest = label, value
    return winner
