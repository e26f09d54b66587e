"""The permutohedral lattice: a Gaussian filter over points with many features, in time linear in their number.

Adams, Baek and Davis, Fast High-Dimensional Filtering Using the Permutohedral Lattice, Eurographics 2010.
A point's value is spread over the d + 1 corners of the simplex that it lies in (splat), the corners are blurred
along the d + 1 axes of the lattice by (1/2, 1, 1/2) (blur), and each point gathers its corners again (slice;
section 3 describes the three). Only corners that some point touches exist. `lattice_building` makes the lattice.

The arithmetic is that of the code of Kraehenbuehl and Koltun (NIPS 2011), in float32: the same features in the same
order give the same lattice, and the same sums but for their rounding. It is organised differently, for what takes
the time is waiting for memory. A corner's points are listed, so that one thread sums them, in order. Corners that
follow each other along an axis are a line, which is blurred in place; a corner without a neighbour costs nothing.
And as few corners are linked along two or three axes, these are blurred one set of linked corners after the other,
for as long as it is at hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deeplab.kernels import _numba
from deeplab.kernels._numba import njit
from deeplab.kernels._simd import LANES, add, aligned, full, item, load, multiply_add, prefetch, store
from deeplab.kernels._workers import Workers

__all__ = ["Group", "Lattice", "padded"]

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]

AHEAD = 16
"""Rows from now that are asked for already: about what the processor does while one arrives."""

WIDE = 3 * LANES
"""Channels that are kept in registers together, so that each weight and each place is looked up once for them."""

BATCHES = 8
"""Batches, at least, that a thread is given at a time."""


class Group(NamedTuple):
    """Lines along one axis or along some that follow each other, in the order in which they are blurred.

    A line is corners that follow each other along an axis, two or more. A batch holds all lines through some corners:
    along the first axis, then along the second ...; no line of another batch meets them.
    """

    corners: Integers
    """int32 (K,): the corners of one line after the other."""
    lines: Integers
    """int32 (L + 1,): where in `corners` each line starts; last K."""
    batches: Integers
    """int32 (B + 1,): the first line of each batch; last L."""


@dataclass(frozen=True, eq=False)
class Lattice:
    """The lattice around N points with d features: D = d + 1 corners for each, M of them in all."""

    corners: Integers
    """int32 (N, D): the corners around each point."""
    weights: Floats
    """float32 (N, D): the barycentric weight of each; a point's sum is 1."""
    points: Integers
    """int32 (N D,): the points around each corner, ascending, one corner after the other."""
    shares: Floats
    """float32 (N D,): their weights there."""
    starts: Integers
    """int32 (M + 1,): where in `points` those of each corner start; last N D."""
    groups: tuple[Group, ...]
    """The lines along all D axes, in the axes' order."""
    batches: Integers
    """int32 (B + 1,): the first corner of each batch of the first group; last M."""

    @property
    def num_corners(self) -> int:
        return len(self.starts) - 1

    @property
    def gain(self) -> float:
        """What the gathered values are multiplied by: 1 / (1 + 2^-d), as in the code of both papers."""
        d = int(self.corners.shape[1]) - 1
        return 1 / (1 + 0.5**d)

    def filter(self, values: Floats, *, transposed: bool = False, workers: Workers | None = None) -> Floats:
        """Each point's sum of the values of all points, weighed by the Gaussian of how far their features are.

        A point's own value is in the sum. The sum is not normalised: `filter` of ones says what to divide by. It falls
        short of the Gaussian's: 0.9 of it for one feature, 0.8 for three, and for five from 0.7 where points lie close
        to 0.3 where they are sparse, for what is blurred to a corner that does not exist is lost.

        Args:
            values: float32 (N, C), any C.
            transposed: Multiply by the transposed matrix, as the gradient does. It is nearly the same matrix, but
                not quite: the axes are blurred in the reverse order, and not every corner exists.

        Returns:
            float32 (N, C).
        """
        workers = workers or Workers(1)
        rows = padded(values)
        result = np.zeros_like(rows)
        at_corners = self.spread(rows, self.shares, transposed=transposed, workers=workers)
        workers.each(
            lambda first, end: self.gather(at_corners, self.weights, self.gain, slice(first, end), result[first:end]),
            len(rows),
        )
        return result[:, : values.shape[1]]

    def spread(
        self,
        rows: Floats,
        shares: Floats,
        *,
        workers: Workers,
        transposed: bool = False,
        out: Floats | None = None,
    ) -> Floats:
        """Splat and blur.

        Args:
            rows: float32 (N, C), C as `padded` makes it.
            shares: `self.shares`, or those times a factor for each point.
            transposed: Blur along the last axis first.
            out: Where to put the result, from `aligned`; memory that is used again is faster than fresh one.

        Returns:
            float32 (M, C): what lies at each corner.
        """
        splat, blur = (_splat_compiled, _blur_compiled) if _numba.COMPILES else (_splat_numpy, _blur_numpy)
        values = aligned(self.num_corners, rows.shape[1]) if out is None else out
        around = (rows, self.points, shares, self.starts)
        workers.each(
            lambda first, end: splat(*around, self.batches, *self.groups[0], first, end, not transposed, values),
            len(self.batches) - 1,
            least=BATCHES,
        )
        for group in self.groups[::-1] if transposed else self.groups[1:]:
            workers.each(
                partial(blur, values, *group, transposed),
                len(group.batches) - 1,
                least=BATCHES,
            )
        return values

    def gather(self, values: Floats, weights: Floats, factor: float, some: slice, out: Floats) -> None:
        """Slice: add to `out` what some of the points gather at their corners, times a factor.

        Args:
            values: float32 (M, C), from `spread`.
            weights: `self.weights`, or those times a factor for each point.
            some: Which points.
            out: float32 (their number, C).
        """
        gather = _gather_compiled if _numba.COMPILES else _gather_numpy
        gather(values, self.corners[some], weights[some], np.float32(factor), out)


def padded(values: Floats, padding: float = 0) -> Floats:
    """A copy of float32 (N, C) with as many columns of `padding` behind as make C a multiple of 8."""
    rows = aligned(len(values), -(-values.shape[1] // LANES) * LANES)
    rows[:, : values.shape[1]] = values
    rows[:, values.shape[1] :] = padding
    return rows


def _splat_numpy(
    rows: Floats,
    points: Integers,
    shares: Floats,
    starts: Integers,
    batches: Integers,
    corners: Integers,
    lines: Integers,
    lines_of: Integers,
    first: int,
    end: int,
    blurred: bool,
    values: Floats,
) -> None:
    """The sums at the corners of some batches: of their points, by the shares of these.

    Args:
        rows: float32 (N, C).
        batches: The first corner of each batch.
        corners, lines, lines_of: The group of lines in which the batches are.
        first, end: The first batch and the one behind the last.
        blurred: Whether to blur along the lines of the batches as well.
        values: Result, float32 (M, C).
    """
    some = slice(batches[first], batches[end])
    entries = slice(starts[some.start], starts[some.stop])
    numbers = np.repeat(np.arange(some.start, some.stop), np.diff(starts[some.start : some.stop + 1]))
    values[some] = 0
    np.add.at(values, numbers, shares[entries, np.newaxis] * rows[points[entries]])
    if blurred:
        _blur_numpy(values, corners, lines, lines_of, False, first, end)


def _blur_numpy(
    values: Floats, corners: Integers, lines: Integers, lines_of: Integers, backwards: bool, first: int, end: int
) -> None:
    """Add to each corner half of the one before and half of the one behind it in its line.

    All lines of a batch at the same time, so they have to be along one axis.

    Args:
        values: float32 (M, C), changed.
        corners, lines, lines_of: The group of lines.
        backwards: Take the last line first.
        first, end: The first batch and the one behind the last.
    """
    starts = lines[lines_of[first] : lines_of[end] + 1]
    along = corners[starts[0] : starts[-1]]
    old = values[along]
    before, behind = np.zeros_like(old), np.zeros_like(old)
    before[1:], behind[:-1] = old[:-1], old[1:]
    before[starts[:-1] - starts[0]] = 0
    behind[starts[1:] - starts[0] - 1] = 0
    values[along] = old + np.float32(0.5) * (before + behind)


def _gather_numpy(values: Floats, corners: Integers, weights: Floats, factor: np.float32, out: Floats) -> None:
    """Add what each point finds at its corners, by its weights times the factor."""
    for corner, weight in zip(corners.T, weights.T, strict=True):
        out += (factor * weight)[:, np.newaxis] * values[corner]


@njit
def _splat_compiled(
    rows: Floats,
    points: Integers,
    shares: Floats,
    starts: Integers,
    batches: Integers,
    corners: Integers,
    lines: Integers,
    lines_of: Integers,
    first: int,
    end: int,
    blurred: bool,
    values: Floats,
) -> None:
    last, channels = len(points) - 1, rows.shape[1]
    for batch in range(first, end):
        for corner in range(batches[batch], batches[batch + 1]):
            begin, behind = item(starts, corner), item(starts, corner + 1)
            for entry in range(begin + AHEAD, behind + AHEAD):
                _fetch(rows, item(points, min(entry, last)), channels)
            at = 0
            while at + WIDE <= channels:
                a, b, c = full(np.float32(0)), full(np.float32(0)), full(np.float32(0))
                for entry in range(begin, behind):
                    share, point = full(item(shares, entry)), item(points, entry)
                    a = multiply_add(share, load(rows, point, at), a)
                    b = multiply_add(share, load(rows, point, at + LANES), b)
                    c = multiply_add(share, load(rows, point, at + 2 * LANES), c)
                store(values, corner, at, a)
                store(values, corner, at + LANES, b)
                store(values, corner, at + 2 * LANES, c)
                at += WIDE
            while at < channels:
                a = full(np.float32(0))
                for entry in range(begin, behind):
                    a = multiply_add(full(item(shares, entry)), load(rows, item(points, entry), at), a)
                store(values, corner, at, a)
                at += LANES
        if blurred:
            _blur_compiled(values, corners, lines, lines_of, False, batch, batch + 1)


@njit
def _blur_compiled(
    values: Floats, corners: Integers, lines: Integers, lines_of: Integers, backwards: bool, first: int, end: int
) -> None:
    half, zero, last, channels = full(np.float32(0.5)), full(np.float32(0)), len(corners) - 1, values.shape[1]
    count = lines_of[end] - lines_of[first]
    for number in range(count):
        line = lines_of[end] - 1 - number if backwards else lines_of[first] + number
        begin, stop = item(lines, line), item(lines, line + 1) - 1
        for place in range(begin, stop + 1):
            ahead = max(0, place - AHEAD) if backwards else min(place + AHEAD, last)
            _fetch(values, item(corners, ahead), channels)
        at = 0
        while at + WIDE <= channels:
            corner = item(corners, begin)
            a, b, c = load(values, corner, at), load(values, corner, at + LANES), load(values, corner, at + 2 * LANES)
            a_before, b_before, c_before = zero, zero, zero
            for place in range(begin, stop):
                behind = item(corners, place + 1)
                a_behind = load(values, behind, at)
                b_behind = load(values, behind, at + LANES)
                c_behind = load(values, behind, at + 2 * LANES)
                store(values, corner, at, multiply_add(half, add(a_before, a_behind), a))
                store(values, corner, at + LANES, multiply_add(half, add(b_before, b_behind), b))
                store(values, corner, at + 2 * LANES, multiply_add(half, add(c_before, c_behind), c))
                a_before, b_before, c_before, a, b, c = a, b, c, a_behind, b_behind, c_behind
                corner = behind
            store(values, corner, at, multiply_add(half, a_before, a))
            store(values, corner, at + LANES, multiply_add(half, b_before, b))
            store(values, corner, at + 2 * LANES, multiply_add(half, c_before, c))
            at += WIDE
        while at < channels:
            a, a_before = load(values, item(corners, begin), at), zero
            for place in range(begin, stop):
                a_behind = load(values, item(corners, place + 1), at)
                store(values, item(corners, place), at, multiply_add(half, add(a_before, a_behind), a))
                a_before, a = a, a_behind
            store(values, item(corners, stop), at, multiply_add(half, a_before, a))
            at += LANES


@njit
def _gather_compiled(values: Floats, corners: Integers, weights: Floats, factor: np.float32, out: Floats) -> None:
    last, channels, around = len(out) - 1, out.shape[1], corners.shape[1]
    for n in range(len(out)):
        ahead = min(n + AHEAD // 2, last)
        for j in range(around):
            _fetch(values, corners[ahead, j], channels)
        at = 0
        while at + WIDE <= channels:
            a, b, c = load(out, n, at), load(out, n, at + LANES), load(out, n, at + 2 * LANES)
            for j in range(around):
                weight, corner = full(factor * weights[n, j]), corners[n, j]
                a = multiply_add(weight, load(values, corner, at), a)
                b = multiply_add(weight, load(values, corner, at + LANES), b)
                c = multiply_add(weight, load(values, corner, at + 2 * LANES), c)
            store(out, n, at, a)
            store(out, n, at + LANES, b)
            store(out, n, at + 2 * LANES, c)
            at += WIDE
        while at < channels:
            a = load(out, n, at)
            for j in range(around):
                a = multiply_add(full(factor * weights[n, j]), load(values, corners[n, j], at), a)
            store(out, n, at, a)
            at += LANES


@njit
def _fetch(rows: Floats, n: int, channels: int) -> None:
    """Have a row at hand soon."""
    for at in range(0, channels, 2 * LANES):
        prefetch(rows, n, at)
