"""The building of a permutohedral lattice: the corners around each point, and the lines of corners along each axis.

Adams, Baek and Davis, Eurographics 2010, section 3.1 (the corners and the weights) and 3.2 (the hash table). How the
lattice is used is in `permutohedral`; how corners are numbered changes the speed only.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from deeplab.kernels import _numba
from deeplab.kernels._numba import njit
from deeplab.kernels._simd import prefetch
from deeplab.kernels._workers import Workers
from deeplab.kernels.permutohedral import AHEAD, BATCHES, Group, Lattice

__all__ = ["build_lattice", "embed", "feature_scale", "key_steps", "steps_to_next"]

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]
Keys = NDArray[np.uint64]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2^64 over the golden ratio: a key times it is spread evenly over the slots of a table (Fibonacci hashing)."""

BITS = 14
"""A fresh table has 2^BITS slots; it doubles when half of them are taken."""

BATCH = 1024
"""Corners, at least, in a batch: about as many as stay near the processor."""

MOST = 16 * BATCH
"""Corners, at most, that may be linked along the axes of a group; else each axis is a group."""


def build_lattice(features: Floats, *, workers: Workers | None = None) -> Lattice:
    """The lattice around points.

    Args:
        features: float32 (N, d), each divided by its standard deviation, d and N at least 1. Another order of the
            features gives another lattice, as good as this one.
        workers: The threads to work with; None: this one.
    """
    workers = workers or Workers(1)
    steps = key_steps(np.array([np.ptp(feature) for feature in features.T]))
    keys, weights = embed(features, steps, workers)
    number = _number if _numba.COMPILES else _number_numpy
    corners, groups, batches = number(keys, steps_to_next(steps), workers)
    points, shares, starts = _by_corner(corners, weights, int(batches[-1]), workers)
    return Lattice(corners, weights, points, shares, starts, groups, batches)


def embed(features: Floats, steps: Keys, workers: Workers) -> tuple[Keys, Floats]:
    """The corners around each point, by their keys, and the point's weight at each.

    Args:
        features: float32 (N, d), each divided by its standard deviation.
        steps: uint64 (d + 1,): what a step of 1 along each coordinate adds to a key.

    Returns:
        uint64 (d + 1, N) and float32 (N, d + 1), by colour: a corner of colour k has coordinates that are k modulo
        d + 1.
    """
    keys = np.empty((len(steps), len(features)), np.uint64)
    weights = np.empty(keys.shape[::-1], np.float32)
    scale = feature_scale(features.shape[1])
    fill = _embed_compiled if _numba.COMPILES else _embed_numpy
    workers.each(
        lambda first, end: fill(features[first:end], scale, steps, keys[:, first:end], weights[first:end]),
        len(features),
    )
    return keys, weights


def feature_scale(d: int) -> Floats:
    """What each feature is multiplied by, float32 (d,): the lengths in the matrix E (section 3.1) times
    sqrt(2/3) (d + 1), with which splat, blur and slice together are a Gaussian of standard deviation 1."""
    i = np.arange(1, d + 1, dtype=np.float64)
    return (1 / np.sqrt(i * (i + 1)) * np.float32(np.sqrt(2 / 3) * (d + 1))).astype(np.float32)


def key_steps(extents: NDArray[np.floating]) -> Keys:
    """What a step of 1 along each coordinate adds to the key of a corner, uint64 (d + 1,); keys wrap at 2^64.

    A corner is a whole number for each feature (its last coordinate follows from the others, and adds nothing).
    Packed one after the other, each in as many values as it can have, different corners have different keys. Where
    64 bits do not hold that (many features, or very small standard deviations), the steps are random: then any two
    of M corners have the same key with a probability below M^2 / 2^65, 3 in a million for ten million corners.

    Args:
        extents: (d,), the largest value of each feature less its smallest one.
    """
    d = len(extents)
    extent = extents * feature_scale(d).astype(np.float64)
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


def steps_to_next(steps: Keys) -> Keys:
    """What leads to the next corner along each axis, uint64 (d + 1,): 1 along all coordinates but -d along one."""
    to_next: Keys = steps.sum(dtype=np.uint64) - np.uint64(len(steps)) * steps
    return to_next


def _embed_numpy(features: Floats, scale: Floats, steps: Keys, keys: Keys, weights: Floats) -> None:
    """Fill in what `embed` returns."""
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
    keys[0] = (corner.astype(np.int64).astype(np.uint64) * steps).sum(axis=1, dtype=np.uint64)
    to_next = steps_to_next(steps)
    for colour in range(1, d + 1):
        keys[colour] = keys[colour - 1] + to_next[order[:, d + 1 - colour]]


def _number_numpy(keys: Keys, to_next: Keys, workers: Workers) -> tuple[Integers, tuple[Group, ...], Integers]:
    """A number for each corner, int32 (N, D), the lines along each axis, a group each, and all corners as a batch."""
    known, corners = np.unique(keys, return_inverse=True)
    groups = []
    for step in to_next:
        place = np.minimum(np.searchsorted(known, known + step), len(known) - 1)
        groups.append(_lines_numpy(np.where(known[place] == known + step, place, -1)))
    return corners.reshape(keys.shape).T.astype(np.int32, order="C"), tuple(groups), np.array([0, len(known)], np.int32)


def _lines_numpy(following: NDArray[np.intp]) -> Group:
    """The lines of corners, from the next one of each, or -1."""
    head = np.arange(len(following))
    head[following[following >= 0]] = np.flatnonzero(following >= 0)
    place = (head != np.arange(len(head))).astype(np.int32)  # in the line, from its head
    while not np.array_equal(head, head[head]):
        place += place[head]
        head = head[head]
    order = np.lexsort((place, head))
    order = order[np.bincount(head)[head[order]] > 1]
    lines = np.append(np.flatnonzero(place[order] == 0), len(order)).astype(np.int32)
    return Group(order.astype(np.int32), lines, np.array([0, len(lines) - 1], np.int32))


def _by_corner(
    corners: Integers, weights: Floats, num_corners: int, workers: Workers
) -> tuple[Integers, Floats, Integers]:
    """The points around each corner, their weights there, and where those of each corner start."""
    starts = np.zeros(num_corners + 1, np.int32)
    if not _numba.COMPILES:
        np.cumsum(np.bincount(corners.ravel(), minlength=num_corners), out=starts[1:])
        order = np.argsort(corners, axis=None, kind="stable")
        return (order // corners.shape[1]).astype(np.int32), weights.ravel()[order], starts
    points, shares = np.empty(corners.size, np.int32), np.empty(corners.size, np.float32)
    colours = range(corners.shape[1])  # have no corner in common
    counts = starts[1:]
    workers.map(lambda colour: _count_compiled(corners[:, colour], counts), colours)
    np.cumsum(counts, out=counts)
    places = starts[:-1].copy()
    workers.map(lambda colour: _sort_compiled(corners[:, colour], weights[:, colour], places, points, shares), colours)
    return points, shares, starts


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
        keys[0, n] = key
        for j in range(1, d + 1):
            weights[n, j] = rest[j] - rest[j - 1]
            key += to_next[axis[j - 1]]
            keys[j, n] = key


def _number(keys: Keys, to_next: Keys, workers: Workers) -> tuple[Integers, tuple[Group, ...], Integers]:
    """As `_number_numpy`, by a hash table for each colour: the next of a corner is of the next colour, on any axis.

    Half of the axes are a group, if few enough corners are linked along them.
    """
    colours, size = len(keys), len(keys) // 2 if len(keys) > 3 else 1
    first_numbers = np.empty(keys.shape, np.int32)
    tables = workers.map(lambda colour: _table(keys[colour], first_numbers[colour]), range(colours))
    offsets = np.cumsum([0] + [len(known) for known, _ in tables])
    near = [np.full((offsets[-1], 2 * size), -1, np.int32) for _ in range(0, colours, size)]

    def find(colour: int) -> None:
        following = (colour + 1) % colours
        for axis, step in enumerate(to_next):
            _find_compiled(
                tables[colour][0],
                step,
                tables[following][1],
                offsets[colour],
                offsets[following],
                near[axis // size],
                axis % size,
            )

    def groups(near: Integers) -> list[tuple[Integers, Integers, Group]]:
        order, ends, group, largest = _group(near, range(size))
        if size > 1 and largest > min(MOST, len(near) // (BATCHES * workers.count)):
            return [_group(near, range(axis, axis + 1))[:3] for axis in range(size)]
        return [(order, ends, group)]

    workers.map(find, range(colours))
    found = list(itertools.chain(*workers.map(groups, near)))
    order, batches, _ = found[0]
    names = np.empty_like(order)  # the corners are numbered in the order of the first group
    names[order] = np.arange(len(order), dtype=np.int32)
    corners = np.empty(keys.shape[::-1], np.int32)
    workers.each(
        lambda first, end: _rename_compiled(first_numbers[:, first:end], offsets, names, corners[first:end]),
        len(corners),
    )
    renamed = workers.map(lambda each: each[2]._replace(corners=names[each[2].corners]), found)
    return corners, tuple(renamed), batches


def _table(keys: Keys, numbers: Integers) -> tuple[Keys, Keys]:
    """Number the keys of one colour in the order in which they come.

    Args:
        numbers: Result, (N,): the number of each.

    Returns:
        The keys by number; the hash table, (slots, 2): a key and its number plus one, or 0 in a free slot.
    """
    table, known = np.zeros((2**BITS, 2), np.uint64), np.empty(2 ** (BITS - 1), np.uint64)
    n, count = _fill_compiled(keys, 0, table, known, 0, numbers)
    while n < len(keys):
        table, known = np.zeros((2 * len(table), 2), np.uint64), np.concatenate([known, np.empty_like(known)])
        _place_compiled(known[:count], table)
        n, count = _fill_compiled(keys, n, table, known, count, numbers)
    return known[:count], table


def _group(near: Integers, axes: range) -> tuple[Integers, Integers, Group, int]:
    """The lines along some axes, in batches of corners that are not linked with others along these axes.

    Args:
        near: From `_find_compiled`.

    Returns:
        The corners, batch by batch, in each as the lines along the first axis go; where in them each batch starts,
        and their number; the group; the number of corners in the largest set that is linked.
    """
    total = len(near)
    order, linked, along = (np.empty(count, np.int32) for count in (total, total, len(axes) * total))
    lines = np.zeros(len(axes) * total // 2 + 1, np.int32)
    ends, lines_of = np.zeros(total // BATCH + 2, np.int32), np.zeros(total // BATCH + 2, np.int32)
    seen = np.zeros(total, np.bool_)
    batches, num_lines, largest = _group_compiled(
        near, axes[0], axes[-1] + 1, seen, linked, order, ends, along, lines, lines_of
    )
    lines = lines[: num_lines + 1].copy()
    return order, ends[: batches + 1], Group(along[: lines[-1]].copy(), lines, lines_of[: batches + 1]), largest


@njit
def _fill_compiled(keys: Keys, n: int, table: Keys, known: Keys, count: int, numbers: Integers) -> tuple[int, int]:
    """Number the keys from `n` on, until half of the table's slots are taken.

    Returns:
        The first key that is not numbered, and how many numbers there are.
    """
    shift, last = _shift(table), len(keys) - 1
    while n <= last and count < len(known):
        prefetch(table, (keys[min(n + AHEAD, last)] * GOLDEN) >> shift, 0)
        slot = _slot_compiled(keys[n], table, shift)
        if table[slot, 1] == 0:
            known[count] = keys[n]
            count += 1
            table[slot, 0], table[slot, 1] = keys[n], count
        numbers[n] = np.int64(table[slot, 1]) - 1
        n += 1
    return n, count


@njit
def _place_compiled(known: Keys, table: Keys) -> None:
    """Put the keys into an empty table."""
    shift, last = _shift(table), len(known) - 1
    for number in range(len(known)):
        prefetch(table, (known[min(number + AHEAD, last)] * GOLDEN) >> shift, 0)
        slot = _slot_compiled(known[number], table, shift)
        table[slot, 0], table[slot, 1] = known[number], number + 1


@njit
def _shift(table: Keys) -> np.uint64:
    """By how much the product with GOLDEN is shifted to the right, which leaves the number of a slot."""
    shift = np.uint64(64)
    while (1 << (np.uint64(64) - shift)) < len(table):
        shift -= np.uint64(1)
    return shift


@njit
def _slot_compiled(key: np.uint64, table: Keys, shift: np.uint64) -> np.uint64:
    """The slot with this key, or the free one where it would be."""
    slot = (key * GOLDEN) >> shift
    last = np.uint64(len(table) - 1)
    while table[slot, 1] != 0 and table[slot, 0] != key:
        slot = (slot + np.uint64(1)) & last
    return slot


@njit
def _find_compiled(
    known: Keys, step: np.uint64, table: Keys, offset: int, table_offset: int, near: Integers, axis: int
) -> None:
    """The neighbours along an axis, of the corners of one colour.

    Args:
        known: The keys of these, whose numbers start at `offset`.
        table: That of the next colour, whose numbers start at `table_offset`.
        near: Result, int32 (M, 2 A): the next and the previous corner along each of some axes, where there is one.
        axis: Which of these.
    """
    shift, last = _shift(table), len(known) - 1
    for n in range(len(known)):
        prefetch(table, ((known[min(n + AHEAD, last)] + step) * GOLDEN) >> shift, 0)
        number = table[_slot_compiled(known[n] + step, table, shift), 1]
        if number > 0:
            corner, following = offset + n, table_offset + np.int64(number) - 1
            near[corner, 2 * axis], near[following, 2 * axis + 1] = following, corner


@njit
def _group_compiled(
    near: Integers,
    first_axis: int,
    end_axis: int,
    seen: NDArray[np.bool_],
    linked: Integers,
    order: Integers,
    ends: Integers,
    along: Integers,
    lines: Integers,
    lines_of: Integers,
) -> tuple[int, int, int]:
    """Fill in what `_group` returns; the numbers of batches and lines, and of corners in the largest linked set."""
    total = len(near)
    largest, reached, placed, batches, num_lines, length = 0, 0, 0, 0, 0, 0
    for start in range(total):
        if not seen[start]:
            first, done = reached, reached
            linked[reached], seen[start] = start, True
            reached += 1
            while done < reached:  # all that is linked with `start`
                corner = linked[done]
                for side in range(2 * first_axis, 2 * end_axis):
                    neighbour = near[corner, side]
                    if neighbour >= 0 and not seen[neighbour]:
                        prefetch(near, neighbour, 2 * first_axis)
                        linked[reached], seen[neighbour] = neighbour, True
                        reached += 1
                done += 1
            largest = max(largest, reached - first)
        if reached - ends[batches] < BATCH and (start < total - 1 or reached == ends[batches]):
            continue
        for axis in range(first_axis, end_axis):
            candidates = linked if axis == first_axis else order
            for place in range(ends[batches], reached):
                corner = candidates[place]
                if near[corner, 2 * axis + 1] < 0:  # a line starts here, or the corner is alone
                    begin = length
                    while corner >= 0:
                        along[length] = corner
                        length += 1
                        if axis == first_axis:
                            order[placed] = corner
                            placed += 1
                        corner = near[corner, 2 * axis]
                    if length - begin == 1:
                        length = begin
                    else:
                        num_lines += 1
                        lines[num_lines] = length
        batches += 1
        ends[batches], lines_of[batches] = reached, num_lines
    return batches, num_lines, largest


@njit
def _rename_compiled(first_numbers: Integers, offsets: NDArray[np.int64], names: Integers, corners: Integers) -> None:
    """From numbers within a colour, (D, N), to those of all corners, (N, D)."""
    for n in range(len(corners)):
        for colour in range(len(first_numbers)):
            corners[n, colour] = names[offsets[colour] + first_numbers[colour, n]]


@njit
def _count_compiled(corners: Integers, counts: Integers) -> None:
    """Add how many points there are around each corner of a colour."""
    for n in range(len(corners)):
        counts[corners[n]] += 1


@njit
def _sort_compiled(corners: Integers, weights: Floats, places: Integers, points: Integers, shares: Floats) -> None:
    """Fill in the points around each corner of a colour; `places`, where they go, moves on."""
    for n in range(len(corners)):
        place = places[corners[n]]
        points[place], shares[place] = n, weights[n]
        places[corners[n]] = place + 1
