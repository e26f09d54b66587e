"""The compiled version of `upsample_argmax`, apart from it because numba takes longer to load than a photo's labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deeplab.kernels._numba import njit

__all__ = ["fill_compiled"]

Labels = NDArray[np.uint8 | np.uint16]


@njit
def fill_compiled(
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
    """As `_fill_numpy`, by the ends of the runs of equal labels."""
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
