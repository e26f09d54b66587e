"""How sure the winning class is of each pixel, from the coarse logits, without any of full size.

In a coarse cell a class can be no higher than at the highest of its four corners, and the winner no lower than the
highest of the classes' lowest corners. A class that stays below that by `NEGLIGIBLE` adds nothing to the sum of the
exponentials in float32; of a trained network's classes these are nearly all, and only the others are interpolated.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deeplab._machine import cores
from deeplab.kernels import _numba
from deeplab.kernels._cells import those_above
from deeplab.kernels._numba import njit
from deeplab.kernels.taps import Taps, part_of, taps

__all__ = ["Confidence", "sample_confidence"]

NEGLIGIBLE = np.float32(25)
"""exp(-25) is 1.4e-11: a thousand such classes are below float32's rounding of a probability."""

Map = NDArray[np.float32]


class Confidence(NamedTuple):
    """Of the classes that `sample_argmax` gives."""

    probability: Map
    """Of the class, in 0 .. 1, float32 (H, W)."""
    margin: Map
    """How much more that is than the probability of the next class, in 0 .. 1, float32 (H, W)."""


def sample_confidence(
    logits: NDArray[np.float32], rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> Confidence:
    """The softmax probability of the winning class at each point of a grid, and its lead.

    Args:
        logits: float32 (num_classes, h, w), finite.
        rows: Ascending float64 (H,), in rows of `logits`; beyond the first and the last one these go on.
        columns: The same for columns, (W,).
    """
    pixels = np.ascontiguousarray(logits.transpose(1, 2, 0), dtype=np.float32)  # (h, w, C)
    down, across = taps(rows, logits.shape[1]), taps(columns, logits.shape[2])
    probability, margin = np.empty((2, len(rows), len(columns)), np.float32)
    fill: Callable[..., None] = _fill_compiled if _numba.COMPILES else _fill_numpy

    def fill_strip(strip: slice) -> None:
        fill(probability[strip], margin[strip], pixels, part_of(down, strip), across)

    with ThreadPoolExecutor(cores()) as threads:
        list(threads.map(fill_strip, _between_two_rows(down)))
    return Confidence(probability, margin)


def _between_two_rows(down: Taps) -> list[slice]:
    """The runs of points between the same two rows of logits."""
    changes = np.flatnonzero(np.diff(down.lower)) + 1
    return [slice(int(start), int(stop)) for start, stop in pairwise([0, *changes, len(down.lower)]) if stop > start]


def _fill_numpy(
    probability: Map,
    margin: Map,
    pixels: NDArray[np.float32],
    down: Taps,
    across: Taps,
) -> None:
    """The reference: the softmax of all classes at all points."""
    f, g = down.fraction[:, None, None], across.fraction[:, None]
    band = (1 - f) * pixels[down.lower] + f * pixels[down.upper]  # (H, w, C)
    values = (1 - g) * band[:, across.lower] + g * band[:, across.upper]
    shares = np.exp(values - values.max(axis=2, keepdims=True))
    shares /= shares.sum(axis=2, keepdims=True)
    shares.sort(axis=2)
    probability[:] = shares[..., -1]
    margin[:] = shares[..., -1] - (shares[..., -2] if shares.shape[2] > 1 else 0)


@njit
def _fill_compiled(
    probability: Map,
    margin: Map,
    pixels: NDArray[np.float32],
    down: Taps,
    across: Taps,
) -> None:
    """The same for points between two rows of logits, cell by cell, of the classes that count there."""
    height, width = probability.shape
    t, b, one = down.lower[0], down.upper[0], np.float32(1)
    counting = np.empty(pixels.shape[2], np.intp)
    start = 0
    while start < width:
        end = start + 1  # of the points between the same two columns
        while end < width and across.lower[end] == across.lower[start]:
            end += 1
        l, r = across.lower[start], across.upper[start]  # noqa: E741 (top, bottom, left, right)
        count = those_above(counting, NEGLIGIBLE, pixels, t, b, l, r)
        for row in range(height):
            f = down.fraction[row]
            for column in range(start, end):
                g = across.fraction[column]
                first, second = np.float32(-np.inf), np.float32(-np.inf)
                total = np.float32(0)  # of the exponentials, over that of the first
                for place in range(count):
                    label = counting[place]
                    beside = (one - f) * pixels[t, l, label] + f * pixels[b, l, label]
                    value = (one - g) * beside + g * ((one - f) * pixels[t, r, label] + f * pixels[b, r, label])
                    if value > first:
                        total = total * np.exp(first - value) + one
                        first, second = value, first
                    else:
                        total += np.exp(value - first)
                        second = max(second, value)
                probability[row, column] = one / total
                margin[row, column] = (one - np.exp(second - first)) / total
        start = end
