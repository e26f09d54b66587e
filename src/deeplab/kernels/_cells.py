"""Coarse cells, between four neighbouring points of the logits: which classes matter there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deeplab.kernels._numba import njit

__all__ = ["those_above"]


@njit
def those_above(
    found: NDArray[np.intp],
    below: np.float32,
    pixels: NDArray[np.float32],
    t: int,
    b: int,
    l: int,  # noqa: E741 (left)
    r: int,
) -> int:
    """Put the classes that come within `below` of the winner somewhere in a cell into `found`, and return their number.

    A class is nowhere higher than at the highest of its four corners, and the winner nowhere lower than the highest of
    the classes' lowest corners. The classes, ascending, are those of which that does not tell that they stay below, and
    may be more than need be. Beside `below` the rounding of float32 is allowed for.

    Args:
        pixels: (h, w, C), contiguous.
        t, b, l, r: The top and the bottom row of the cell, and its left and its right column.
    """
    floor = np.float32(-np.inf)
    for label in range(len(found)):
        left = min(pixels[t, l, label], pixels[b, l, label])
        floor = max(floor, min(left, min(pixels[t, r, label], pixels[b, r, label])))
    floor -= below + np.float32(1e-6) * abs(floor)
    count = 0
    for label in range(len(found)):
        left = max(pixels[t, l, label], pixels[b, l, label])
        if max(left, max(pixels[t, r, label], pixels[b, r, label])) >= floor:
            found[count] = label
            count += 1
    return count
