"""The softmax over each row of a matrix whose rows are whole vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeplab.kernels import _numba
from deeplab.kernels._numba import njit
from deeplab.kernels._simd import (
    LANES,
    add,
    full,
    keep_above,
    largest,
    load,
    maximum,
    multiply,
    multiply_add,
    power_of_two,
    store,
    total,
)

__all__ = ["softmax"]

Floats = NDArray[np.float32]

LEAST = np.float32(-60)
"""Less than this below the largest of its row a score counts as minus infinity: e^-60 is 1e-26, and products of such
numbers are soon too small to be computed fast."""


def softmax(scores: Floats, out: Floats) -> None:
    """exp(scores) over their sum, row by row.

    Args:
        scores: float32 (N, C), contiguous, C a multiple of 8; columns of -1e30 do not count.
        out: Result, float32 (N, C), may be `scores` itself; exact to 4e-6 of each value, or 0 below 1e-26.
    """
    (_softmax_compiled if _numba.COMPILES else _softmax_numpy)(scores, out)


def _softmax_numpy(scores: Floats, out: Floats) -> None:
    below = scores - scores.max(axis=1, keepdims=True)
    np.exp(np.where(below > LEAST, below, -np.inf), out=out)
    out /= out.sum(axis=1, keepdims=True)


@njit
def _softmax_compiled(scores: Floats, out: Floats) -> None:
    for n in range(len(out)):
        top = load(scores, n, 0)
        for at in range(LANES, out.shape[1], LANES):
            top = maximum(top, load(scores, n, at))
        down, sums = full(-largest(top)), full(np.float32(0))
        for at in range(0, out.shape[1], LANES):
            power = _exp(add(load(scores, n, at), down))
            sums = add(sums, power)
            store(out, n, at, power)
        share = full(np.float32(1) / total(sums))
        for at in range(0, out.shape[1], LANES):
            store(out, n, at, multiply(load(out, n, at), share))


@njit
def _exp(below: Any) -> Any:
    """e^x of a vector, for x <= 0; 0 from LEAST down.

    As 2^n e^r, n whole and |r| <= ln(2) / 2, with e^r by the polynomial of Cephes' expf.
    """
    x = maximum(below, full(LEAST))
    shift = np.float32(3 * 2**22)  # adding it rounds to a whole number, to even at halves
    n = add(multiply_add(x, full(np.float32(1.44269504)), full(shift)), full(-shift))
    r = multiply_add(n, full(np.float32(-0.693359375)), x)  # ln(2) in two parts
    r = multiply_add(n, full(np.float32(2.12194440e-4)), r)
    p = full(np.float32(1.9875691500e-4))
    p = multiply_add(p, r, full(np.float32(1.3981999507e-3)))
    p = multiply_add(p, r, full(np.float32(8.3334519073e-3)))
    p = multiply_add(p, r, full(np.float32(4.1665795894e-2)))
    p = multiply_add(p, r, full(np.float32(1.6666665459e-1)))
    p = multiply_add(p, r, full(np.float32(5.0000001201e-1)))
    p = add(multiply_add(multiply(p, r), r, r), full(np.float32(1)))
    return keep_above(below, multiply(p, power_of_two(n)), full(LEAST))
