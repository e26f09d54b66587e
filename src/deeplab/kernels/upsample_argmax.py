"""Bilinear upsampling and argmax in one, without the upsampled logits.

Along a row, between two coarse columns, every class is a straight line. So the pixels where one class is on
top are one run, and a class that is on top at all four corners of a coarse cell is on top in the whole cell:
such cells are filled, and in the others only the ends of the runs are searched for, among the classes that
can be on top there at all. The labels are exact; another implementation may choose differently only where two
classes are within float32's rounding.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from deeplab._machine import cores
from deeplab.kernels.taps import Taps, part_of, taps

__all__ = ["LARGEST", "compile_now", "sample_argmax", "upsample_argmax"]

Labels = NDArray[np.uint8 | np.uint16]

LARGEST = 1e38
"""What an infinite logit counts as."""

WORTH_LOADING = 2**22
"""Pixels that numpy takes about as long for as numba takes to load, 0.5 s; a photo has its labels before."""

_asked_for = 0
"""Pixels, by all calls so far."""

STRIP = 2**21
"""Scores (pixels x classes) that a thread of the numpy version works on at a time: bounds its memory."""


def upsample_argmax(logits: NDArray[np.float32], size: tuple[int, int], *, align_corners: bool) -> Labels:
    """The class with the highest logit at each pixel of the resized logits; the lowest class of equal ones.

    Args:
        logits: As in `sample_argmax`.
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
        logits: float32 (num_classes, h, w), in any memory order. An infinite one counts as one of 1e38 that it cannot
            be told from: a class of minus infinity is nowhere, where there is another; NaN is minus infinity.
        rows: Ascending float64 (H,), in rows of `logits`; beyond the first and the last one these go on.
        columns: The same for columns, (W,).

    Returns:
        uint8 (H, W), or uint16 for more than 256 classes.
    """
    num_classes, height, width = logits.shape
    if not np.isfinite(logits).all():  # an infinity times a weight of 0 is no number
        logits = np.nan_to_num(logits, nan=-LARGEST, posinf=LARGEST, neginf=-LARGEST).astype(np.float32)
    pixels = np.ascontiguousarray(logits.transpose(1, 2, 0), dtype=np.float32)  # (h, w, C)
    winners = _cell_winners(pixels)
    down, across = taps(rows, height), taps(columns, width)
    labels: Labels = np.empty((len(rows), len(columns)), np.uint8 if num_classes <= 256 else np.uint16)
    fill = _fill(labels.size)

    def fill_strip(strip: slice) -> None:
        fill(labels[strip], pixels, winners, part_of(down, strip), across)

    step = max(1, STRIP // max(1, len(columns) * num_classes))
    if fill is not _fill_numpy:  # it takes no memory, and looks at a coarse cell anew for each strip
        step = max(step, math.ceil(len(rows) / (4 * cores())))
    strips = [slice(start, start + step) for start in range(0, len(rows), step)]
    with ThreadPoolExecutor(cores()) as threads:
        list(threads.map(fill_strip, strips))
    return labels


def compile_now() -> None:
    """Have numba make all labels from now on, as where many photos were segmented before."""
    global _asked_for
    _asked_for = WORTH_LOADING


def _fill(pixels: int) -> Callable[..., None]:
    """What fills in labels: numpy, and the compiled version once so much was asked for that to load it pays."""
    global _asked_for
    _asked_for += pixels
    if _asked_for < WORTH_LOADING and "numba" not in sys.modules:
        return _fill_numpy
    from deeplab.kernels import _numba
    from deeplab.kernels._upsample_argmax import fill_compiled

    return fill_compiled if _numba.COMPILES else _fill_numpy


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
    down: Taps,
    across: Taps,
) -> None:
    """The reference: every pixel of a disputed cell by its definition."""
    labels_here = winners[down.lower][:, across.lower]
    row, column = np.nonzero(labels_here == pixels.shape[2])
    t, b, f = down.lower[row], down.upper[row], down.fraction[row, None]
    l, r, g = across.lower[column], across.upper[column], across.fraction[column, None]  # noqa: E741 (top, bottom, left, right)
    upper = (1 - g) * pixels[t, l] + g * pixels[t, r]  # (disputed pixels, C)
    lower = (1 - g) * pixels[b, l] + g * pixels[b, r]
    labels_here[row, column] = ((1 - f) * upper + f * lower).argmax(axis=1)
    labels[:] = labels_here
