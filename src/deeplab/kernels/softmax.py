"""The softmax over each row of a matrix, in one pass, for rows that are padded to whole vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deeplab.kernels import _numba
from deeplab.kernels._numba import njit

__all__ = ["softmax"]

Floats = NDArray[np.float32]


def softmax(logits: Floats, num_classes: int, out: Floats) -> None:
    """exp(logits) over their sum, row by row.

    Args:
        logits: float32 (N, C), finite; the columns from `num_classes` on do not count.
        out: Result, float32 (N, C), may be `logits` itself; those columns are 0. Exact to 2e-6 of each value, and
            values below 1e-37 need not be.
    """
    (_softmax_compiled if _numba.COMPILES else _softmax_numpy)(logits, num_classes, out)


def _softmax_numpy(logits: Floats, num_classes: int, out: Floats) -> None:
    logits = logits[:, :num_classes]
    np.exp(logits - logits.max(axis=1, keepdims=True), out=out[:, :num_classes])
    out[:, :num_classes] /= out[:, :num_classes].sum(axis=1, keepdims=True)
    out[:, num_classes:] = 0


@njit
def _softmax_compiled(logits: Floats, num_classes: int, out: Floats) -> None:
    one = np.float32(1)
    for n in range(len(out)):
        values, result = logits[n], out[n]
        top = values[0]
        for k in range(1, num_classes):
            top = max(top, values[k])
        for k in range(len(result)):
            result[k] = _exp(max(values[k] - top, np.float32(-87)))  # below it, 2^n is no normal number
        total = np.float32(0)
        for k in range(num_classes):
            total += result[k]
        share = one / total
        for k in range(num_classes):
            result[k] *= share
        result[num_classes:] = 0


@njit
def _exp(x: np.float32) -> np.float32:
    """e^x for -87 <= x <= 0 without a branch, so that a loop of it is vectorised.

    As 2^n e^r, n whole and |r| <= ln(2) / 2, with e^r by the polynomial of Cephes' expf.
    """
    shift = np.float32(3 * 2**22)  # adding it rounds to a whole number, to even at halves
    n = (x * np.float32(1.44269504) + shift) - shift
    r = x - n * np.float32(0.693359375) - n * np.float32(-2.12194440e-4)  # ln(2) in two parts
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    power = np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)  # 2^n by its exponent's bits
    return (p * r * r + r + np.float32(1)) * power
