"""The permutohedral lattice: a Gaussian filter over points with many features, in time linear in their number.

Adams, Baek and Davis, Fast High-Dimensional Filtering Using the Permutohedral Lattice, Eurographics 2010.
A point's value is spread over the d + 1 corners of the simplex that it lies in (splat), the corners are blurred
along the d + 1 axes of the lattice by (1/2, 1, 1/2) (blur), and each point gathers its corners again (slice;
section 3 describes the three). Only corners that some point touches exist.

The arithmetic is that of the code of Kraehenbuehl and Koltun (NIPS 2011), operation by operation in float32: the
same features in the same order give the same lattice and the same sums. It is organised differently. A corner's
points are listed, so that one thread sums them, in order; corners that follow each other along an axis are a
line, which is blurred in place; a corner without a neighbour on an axis costs nothing there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deeplab.kernels import _numba
from deeplab.kernels._numba import njit
from deeplab.kernels._workers import Workers

__all__ = ["Lattice", "Lines", "build_lattice", "padded"]

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]
Keys = NDArray[np.uint64]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2^64 over the golden ratio: a key times it is spread evenly over the slots of a table (Fibonacci hashing)."""

BITS = 14
"""A fresh table has 2^BITS slots; it doubles when half of them are taken."""

LANES = 8
"""Channels that the processor works on at a time."""


class Lines(NamedTuple):
    """Corners that follow each other along an axis."""

    corners: Integers
    """int32 (K,): the corners of one line after the other, in order."""
    starts: Integers
    """int32 (L + 1,): where in `corners` each line starts; last K."""


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
    starts: NDArray[np.int64]
    """int64 (M + 1,): where in `points` those of each corner start; last N D."""
    lines: tuple[Lines, ...]
    """The lines along each of the D axes. Along the first one every corner is in a line, if alone, and the corners
    are numbered in their order; along the others only those with a neighbour are."""

    @property
    def num_corners(self) -> int:
        return len(self.starts) - 1

    @property
    def gain(self) -> float:
        """What the gathered values are multiplied by: 1 / (1 + 2^-d), as in the code of both papers."""
        return 1 / (1 + 2.0 ** -(len(self.lines) - 1))

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

    def spread(self, rows: Floats, shares: Floats, *, workers: Workers, transposed: bool = False) -> Floats:
        """Splat and blur.

        Args:
            rows: float32 (N, C), C as `padded` makes it.
            shares: `self.shares`, or those times a factor for each point.
            transposed: Blur along the last axis first.

        Returns:
            float32 (M, C): what lies at each corner.
        """
        splat, blur = (_splat_compiled, _blur_compiled) if _numba.COMPILES else (_splat_numpy, _blur_numpy)
        values = np.empty((self.num_corners, rows.shape[1]), np.float32)
        first_axis, *others = self.lines
        workers.each(
            lambda first, end: splat(
                rows, self.points, shares, self.starts, first_axis.starts[first : end + 1], not transposed, values
            ),
            len(first_axis.starts) - 1,
        )
        for axis in reversed(self.lines) if transposed else others:
            workers.each(partial(_part_blurred, blur, values, axis), len(axis.starts) - 1)
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


def build_lattice(features: Floats, *, workers: Workers | None = None) -> Lattice:
    """The lattice around points.

    Args:
        features: float32 (N, d), each divided by its standard deviation, d and N at least 1. Another order of the
            features gives another lattice, as good as this one.
        workers: The threads to work with; None: this one.
    """
    workers = workers or Workers(1)
    scale, steps = _scale(features.shape[1]), _steps(features)
    keys = np.empty((len(features), len(steps)), np.uint64)
    weights = np.empty(keys.shape, np.float32)
    embed, number = (_embed_compiled, _number) if _numba.COMPILES else (_embed_numpy, _number_numpy)
    workers.each(
        lambda first, end: embed(features[first:end], scale, steps, keys[first:end], weights[first:end]), len(keys)
    )
    corners, lines = number(keys, _to_next(steps), workers)
    points, shares, starts = _by_corner(corners, weights, len(lines[0].corners), workers)
    return Lattice(corners, weights, points, shares, starts, lines)


def padded(values: Floats) -> Floats:
    """A copy of float32 (N, C) with zeros after its channels, so that C is a multiple of 8."""
    rows = np.zeros((len(values), -(-values.shape[1] // LANES) * LANES), np.float32)
    rows[:, : values.shape[1]] = values
    return rows


def _scale(d: int) -> Floats:
    """What each feature is multiplied by, float32 (d,): the lengths in the matrix E (section 3.1) times
    sqrt(2/3) (d + 1), with which splat, blur and slice together are a Gaussian of standard deviation 1."""
    i = np.arange(1, d + 1, dtype=np.float64)
    return (1 / np.sqrt(i * (i + 1)) * np.float32(np.sqrt(2 / 3) * (d + 1))).astype(np.float32)


def _steps(features: Floats) -> Keys:
    """What a step of 1 along each coordinate adds to the key of a corner, uint64 (d + 1,); keys wrap at 2^64.

    A corner is a whole number for each feature (its last coordinate follows from the others, and adds nothing).
    Packed one after the other, each in as many values as it can have, different corners have different keys. Where
    64 bits do not hold that (many features, or very small standard deviations), the steps are random: then any two
    of M corners have the same key with a probability below M^2 / 2^65, 3 in a million for ten million corners.
    """
    d = features.shape[1]
    extent = np.ptp(features, axis=0) * _scale(d).astype(np.float64)
    # a coordinate is the sum of the scaled features behind it, less j times its own; its corners are near by
    ranges = [(j * extent[j - 1] if j else 0) + extent[j:].sum() + 4 * (d + 2) for j in range(d)]
    steps = np.zeros(d + 1, np.uint64)
    if np.prod(ranges) < 2.0**62:
        step = 1
        for j in reversed(range(d)):
            steps[j] = step
            step *= int(np.ceil(ranges[j]))
    else:
        steps[:d] = np.random.default_rng(0).integers(2**64, size=d, dtype=np.uint64)
    return steps


def _to_next(steps: Keys) -> Keys:
    """What leads to the next corner along each axis, uint64 (d + 1,): 1 along all coordinates but -d along one."""
    to_next: Keys = steps.sum(dtype=np.uint64) - np.uint64(len(steps)) * steps
    return to_next


def _by_corner(
    corners: Integers, weights: Floats, num_corners: int, workers: Workers
) -> tuple[Integers, Floats, NDArray[np.int64]]:
    """The points around each corner, their weights there, and where those of each corner start."""
    starts = np.zeros(num_corners + 1, np.int64)
    np.cumsum(np.bincount(corners.ravel(), minlength=num_corners), out=starts[1:])
    if not _numba.COMPILES:
        order = np.argsort(corners, axis=None, kind="stable")
        return (order // corners.shape[1]).astype(np.int32), weights.ravel()[order], starts
    points, shares = np.empty(corners.size, np.int32), np.empty(corners.size, np.float32)
    workers.each(
        lambda first, end: _by_corner_compiled(corners, weights, starts, first, end, points, shares), num_corners
    )
    return points, shares, starts


def _part_blurred(blur: Callable[..., None], values: Floats, axis: Lines, first: int, end: int) -> None:
    blur(values, axis.corners, axis.starts[first : end + 1])


# The reference


def _embed_numpy(features: Floats, scale: Floats, steps: Keys, keys: Keys, weights: Floats) -> None:
    """The corners around each point, by their keys, and the point's weight at each.

    Args:
        features: float32 (N, d).
        keys: Result, uint64 (N, d + 1), by colour: a corner of colour k has coordinates that are k modulo d + 1.
        weights: Result, float32 (N, d + 1).
    """
    n, d = features.shape
    position = np.empty((n, d + 1), np.float32)  # in the plane of the lattice
    total = np.zeros(n, np.float32)
    for j in range(d, 0, -1):
        scaled = features[:, j - 1] * scale[j - 1]
        position[:, j] = total - np.float32(j) * scaled
        total += scaled
    position[:, 0] = total
    multiple = np.rint(position * np.float32(1 / (d + 1)))
    corner = multiple * np.float32(d + 1)  # of colour 0; the nearest, but perhaps not in the plane
    order = np.argsort(corner - position, axis=1, kind="stable")  # the largest rest has rank 0
    rank = np.argsort(order, axis=1) + multiple.sum(axis=1, dtype=np.int64)[:, np.newaxis]
    back = np.where(rank < 0, d + 1, np.where(rank > d, -d - 1, 0))
    rank += back
    corner += back.astype(np.float32)
    order = np.argsort(rank, axis=1)
    rest = np.take_along_axis((position - corner) * np.float32(1 / (d + 1)), order[:, ::-1], axis=1)  # ascending
    weights[:, 0] = rest[:, 0] + (1 - rest[:, d])
    weights[:, 1:] = rest[:, 1:] - rest[:, :-1]
    keys[:, 0] = (corner.astype(np.int64).astype(np.uint64) * steps).sum(axis=1, dtype=np.uint64)
    to_next = _to_next(steps)
    for colour in range(1, d + 1):
        keys[:, colour] = keys[:, colour - 1] + to_next[order[:, d + 1 - colour]]


def _number_numpy(keys: Keys, to_next: Keys, workers: Workers) -> tuple[Integers, tuple[Lines, ...]]:
    """A number for each corner, int32 (N, D), and the lines along each axis."""
    known, corners = np.unique(keys, return_inverse=True)
    names = np.arange(len(known), dtype=np.int32)  # from places in `known` to numbers

    def lines(axis: int) -> Lines:
        place = np.minimum(np.searchsorted(known, known + to_next[axis]), len(known) - 1)
        following = np.full(len(known), -1, np.int32)
        following[names] = np.where(known[place] == known + to_next[axis], names[place], -1)
        return _lines_numpy(following, alone=axis == 0)

    along_first = lines(0).corners
    names[along_first] = np.arange(len(known), dtype=np.int32)
    return names[corners].reshape(keys.shape), tuple(lines(axis) for axis in range(len(to_next)))


def _lines_numpy(following: Integers, *, alone: bool) -> Lines:
    """The lines of corners, from the next one of each, or -1; with or without those that are alone."""
    head = np.arange(len(following), dtype=np.int32)
    head[following[following >= 0]] = np.flatnonzero(following >= 0)
    place = (head != np.arange(len(head))).astype(np.int32)  # in the line, from its head
    while True:
        further = head[head]
        if np.array_equal(further, head):
            break
        place += place[head]
        head = further
    order = np.lexsort((place, head)).astype(np.int32)
    if not alone:
        order = order[np.bincount(head)[head[order]] > 1]
    starts = np.append(np.flatnonzero(place[order] == 0), len(order))
    return Lines(order, starts.astype(np.int32))


def _splat_numpy(
    rows: Floats,
    points: Integers,
    shares: Floats,
    starts: NDArray[np.int64],
    lines: Integers,
    blurred: bool,
    values: Floats,
) -> None:
    """The sum of the points around each corner, by their shares.

    Args:
        rows: float32 (N, C).
        lines: Where some of the lines along the first axis start.
        blurred: Whether to blur along them.
        values: Result, float32 (M, C).
    """
    first, end = lines[0], lines[-1]
    some = slice(starts[first], starts[end])
    counts = np.diff(starts[first : end + 1])
    values[first:end] = 0
    np.add.at(values, np.repeat(np.arange(first, end), counts), shares[some, np.newaxis] * rows[points[some]])
    if blurred:
        _blur_numpy(values, np.arange(len(values), dtype=np.int32), lines)


def _blur_numpy(values: Floats, corners: Integers, lines: Integers) -> None:
    """Add to each corner half of the one before and half of the one behind it in its line.

    Args:
        values: float32 (M, C), changed.
        lines: Where some of the lines start in `corners`.
    """
    old = values[corners[lines[0] : lines[-1]]]
    before, behind = np.zeros_like(old), np.zeros_like(old)
    before[1:], behind[:-1] = old[:-1], old[1:]
    starts = lines[:-1] - lines[0]
    before[starts] = 0
    behind[starts[1:] - 1] = 0
    values[corners[lines[0] : lines[-1]]] = old + np.float32(0.5) * (before + behind)


def _gather_numpy(values: Floats, corners: Integers, weights: Floats, factor: np.float32, out: Floats) -> None:
    """Add what each point finds at its corners, by its weights times the factor."""
    for corner, weight in zip(corners.T, weights.T, strict=True):
        out += (factor * weight)[:, np.newaxis] * values[corner]


# The same, compiled


@njit
def _embed_compiled(features: Floats, scale: Floats, steps: Keys, keys: Keys, weights: Floats) -> None:
    d = features.shape[1]
    colours, down = np.float32(d + 1), np.float32(1 / (d + 1))
    position, corner, rest = np.empty(d + 1, np.float32), np.empty(d + 1, np.float32), np.empty(d + 1, np.float32)
    rank, axis = np.empty(d + 1, np.int64), np.empty(d + 1, np.int64)
    to_next = np.empty(d + 1, np.uint64)
    for j in range(d + 1):
        to_next[j] = steps.sum() - np.uint64(d + 1) * steps[j]
    for n in range(len(features)):
        total = np.float32(0)
        for j in range(d, 0, -1):
            scaled = features[n, j - 1] * scale[j - 1]
            position[j] = total - np.float32(j) * scaled
            total += scaled
        position[0] = total
        outside = np.float32(0)
        for j in range(d + 1):
            multiple = np.rint(position[j] * down)
            corner[j] = multiple * colours
            rest[j] = position[j] - corner[j]
            outside += multiple
            rank[j] = 0
        for j in range(d):
            for k in range(j + 1, d + 1):
                behind = np.int64(rest[j] < rest[k])
                rank[j] += behind
                rank[k] += 1 - behind
        key = np.uint64(0)
        for j in range(d + 1):
            rank[j] += np.int64(outside)
            if rank[j] < 0:
                rank[j] += d + 1
                corner[j] += colours
            elif rank[j] > d:
                rank[j] -= d + 1
                corner[j] -= colours
            key += np.uint64(np.int64(corner[j])) * steps[j]
            axis[d - rank[j]] = j
        for j in range(d + 1):
            rest[j] = (position[axis[j]] - corner[axis[j]]) * down
        weights[n, 0] = rest[0] + (np.float32(1) - rest[d])
        keys[n, 0] = key
        for j in range(1, d + 1):
            weights[n, j] = rest[j] - rest[j - 1]
            key += to_next[axis[j - 1]]
            keys[n, j] = key


def _number(keys: Keys, to_next: Keys, workers: Workers) -> tuple[Integers, tuple[Lines, ...]]:
    """As `_number_numpy`, by hash tables: each thread keeps one, of the keys of which it is in charge."""
    parts = 1 << (workers.count - 1).bit_length()
    corners = np.empty(keys.shape, np.int32)
    tables = workers.map(lambda part: _table_compiled(keys, part, parts, corners), range(parts))
    known = np.concatenate([keys_of_part for keys_of_part, _, _ in tables])
    offsets = np.cumsum([0] + [len(keys_of_part) for keys_of_part, _, _ in tables])

    def follow(axis: int, numbers: Integers) -> Lines:
        following = np.full(len(known), -1, np.int32)
        for part, (_, slots, places) in enumerate(tables):
            _follow_compiled(known, to_next[axis], part, parts, slots, places, numbers[offsets[part] :], following)
        return Lines(*_lines_compiled(following, axis == 0))

    along_first = follow(0, np.arange(len(known), dtype=np.int32))
    names = np.empty(len(known), np.int32)
    names[along_first.corners] = np.arange(len(known), dtype=np.int32)
    known = known[along_first.corners]
    workers.each(lambda first, end: _rename_compiled(keys[first:end], offsets, names, corners[first:end]), len(keys))
    others = workers.map(lambda axis: follow(axis, names), range(1, len(to_next)))
    return corners, (Lines(np.arange(len(known), dtype=np.int32), along_first.starts), *others)


@njit
def _part_of(spread: np.uint64, parts: int) -> int:
    """Which of so many tables, a power of two, has the key whose product with GOLDEN this is."""
    return int(spread >> np.uint64(16)) & (parts - 1)


@njit
def _table_compiled(keys: Keys, part: int, parts: int, corners: Integers) -> tuple[Keys, Keys, Integers]:
    """Number the keys of one part in the order in which they come.

    Args:
        corners: Result, (N, D): the number, where the key belongs to this part.

    Returns:
        The keys by number; the hash table: the key in each slot, and its number, or -1.
    """
    bits = np.uint64(BITS)
    slots, numbers = np.empty(1 << bits, np.uint64), np.full(1 << bits, -1, np.int32)
    known = np.empty(1 << (bits - np.uint64(1)), np.uint64)
    count = 0
    for n in range(keys.shape[0]):
        for j in range(keys.shape[1]):
            key = keys[n, j]
            spread = key * GOLDEN
            if _part_of(spread, parts) != part:
                continue
            if n > 0 and key == keys[n - 1, j]:  # neighbours often share corners
                corners[n, j] = corners[n - 1, j]
                continue
            slot = _slot_compiled(key, spread, slots, numbers, bits)
            if numbers[slot] < 0:
                if count == len(known):
                    bits += np.uint64(1)
                    slots, numbers = np.empty(1 << bits, np.uint64), np.full(1 << bits, -1, np.int32)
                    for number in range(count):
                        slot = _slot_compiled(known[number], known[number] * GOLDEN, slots, numbers, bits)
                        slots[slot], numbers[slot] = known[number], number
                    known = np.concatenate((known, np.empty_like(known)))
                    slot = _slot_compiled(key, spread, slots, numbers, bits)
                slots[slot], numbers[slot], known[count] = key, count, key
                count += 1
            corners[n, j] = numbers[slot]
    return known[:count].copy(), slots, numbers


@njit
def _slot_compiled(key: np.uint64, spread: np.uint64, slots: Keys, numbers: Integers, bits: np.uint64) -> np.uint64:
    """The slot with this key, or the empty one where it would be."""
    slot = spread >> (np.uint64(64) - bits)
    last = np.uint64(len(slots) - 1)
    while numbers[slot] >= 0 and slots[slot] != key:
        slot = (slot + np.uint64(1)) & last
    return slot


@njit
def _follow_compiled(
    known: Keys,
    step: np.uint64,
    part: int,
    parts: int,
    slots: Keys,
    places: Integers,
    numbers: Integers,
    following: Integers,
) -> None:
    """The number of the corner a step behind each, where this part knows it."""
    bits = np.uint64(0)
    while (1 << bits) < len(slots):
        bits += np.uint64(1)
    for number in range(len(known)):
        key = known[number] + step
        spread = key * GOLDEN
        if _part_of(spread, parts) == part:
            place = places[_slot_compiled(key, spread, slots, places, bits)]
            if place >= 0:
                following[number] = numbers[place]


@njit
def _lines_compiled(following: Integers, alone: bool) -> tuple[Integers, Integers]:
    begins = np.ones(len(following), np.bool_)
    for corner in following:
        if corner >= 0:
            begins[corner] = False
    corners, starts = np.empty(len(following), np.int32), np.empty(len(following) + 1, np.int32)
    count, lines = 0, 0
    for corner in range(len(following)):
        if begins[corner] and (alone or following[corner] >= 0):
            starts[lines] = count
            lines += 1
            while corner >= 0:
                corners[count] = corner
                count += 1
                corner = following[corner]
    starts[lines] = count
    return corners[:count].copy(), starts[: lines + 1].copy()


@njit
def _rename_compiled(keys: Keys, offsets: NDArray[np.int64], names: Integers, corners: Integers) -> None:
    """From numbers within a part to those of all corners."""
    parts = len(offsets) - 1
    for n in range(keys.shape[0]):
        for j in range(keys.shape[1]):
            corners[n, j] = names[offsets[_part_of(keys[n, j] * GOLDEN, parts)] + corners[n, j]]


@njit
def _by_corner_compiled(
    corners: Integers,
    weights: Floats,
    starts: NDArray[np.int64],
    first: int,
    end: int,
    points: Integers,
    shares: Floats,
) -> None:
    """Fill in those of the corners first .. end - 1."""
    free = starts[first:end].copy()
    for n in range(corners.shape[0]):
        for j in range(corners.shape[1]):
            corner = corners[n, j] - first
            if 0 <= corner < end - first:
                points[free[corner]], shares[free[corner]] = n, weights[n, j]
                free[corner] += 1


@njit
def _splat_compiled(
    rows: Floats,
    points: Integers,
    shares: Floats,
    starts: NDArray[np.int64],
    lines: Integers,
    blurred: bool,
    values: Floats,
) -> None:
    before = np.empty(rows.shape[1], np.float32)
    for line in range(len(lines) - 1):
        for corner in range(lines[line], lines[line + 1]):
            value = values[corner]
            value[:] = 0
            for entry in range(starts[corner], starts[corner + 1]):
                share, row = shares[entry], rows[points[entry]]
                for channel in range(len(value)):
                    value[channel] += share * row[channel]
        if blurred:
            before[:] = 0
            for corner in range(lines[line], lines[line + 1] - 1):
                _blur_one(before, values[corner], values[corner + 1])
            _blur_last(before, values[lines[line + 1] - 1])


@njit
def _blur_compiled(values: Floats, corners: Integers, lines: Integers) -> None:
    before = np.empty(values.shape[1], np.float32)
    for line in range(len(lines) - 1):
        before[:] = 0
        for place in range(lines[line], lines[line + 1] - 1):
            _blur_one(before, values[corners[place]], values[corners[place + 1]])
        _blur_last(before, values[corners[lines[line + 1] - 1]])


@njit
def _blur_one(before: Floats, value: Floats, behind: Floats) -> None:
    for channel in range(len(value)):
        old = value[channel]
        value[channel] = old + np.float32(0.5) * (before[channel] + behind[channel])
        before[channel] = old


@njit
def _blur_last(before: Floats, value: Floats) -> None:
    for channel in range(len(value)):
        value[channel] += np.float32(0.5) * before[channel]


@njit
def _gather_compiled(values: Floats, corners: Integers, weights: Floats, factor: np.float32, out: Floats) -> None:
    for n in range(len(out)):
        sums = out[n]
        for j in range(corners.shape[1]):
            weight, value = factor * weights[n, j], values[corners[n, j]]
            for channel in range(len(sums)):
                sums[channel] += weight * value[channel]
