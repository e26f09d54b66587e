"""Linear interpolation along an axis: which two points each coordinate lies between, and how far."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Taps", "part_of", "taps"]


class Taps(NamedTuple):
    """The value at each coordinate: (1 - fraction) * x[lower] + fraction * x[upper]."""

    lower: NDArray[np.intp]
    upper: NDArray[np.intp]
    fraction: NDArray[np.float32]


def taps(coordinates: NDArray[np.float64], length: int) -> Taps:
    """The neighbours of each coordinate on an axis of `length` points; beyond its ends the end goes on."""
    inside = np.clip(coordinates, 0, length - 1)
    lower = inside.astype(np.intp)
    return Taps(lower, np.minimum(lower + 1, length - 1), (inside - lower).astype(np.float32))


def part_of(at: Taps, points: slice | NDArray[np.intp]) -> Taps:
    """Of some of the coordinates."""
    return Taps(at.lower[points], at.upper[points], at.fraction[points])
