"""The parts of a label map: worked out by hand, and the compiled version beside the readable one."""

from __future__ import annotations

import numpy as np
import pytest

from deeplab.kernels import _numba
from deeplab.kernels.label_map import OCTAVES, _measure_compiled, _measure_numpy, connected_parts, measure

HAND_MADE = np.array(
    [
        [0, 0, 0, 0, 5],
        [0, 7, 0, 0, 5],
        [7, 0, 0, 2, 9],
        [0, 0, 0, 0, 0],
    ],
    np.uint8,
)
"""The two 7 touch at a corner, and so do all 0."""


def test_pixels_and_parts_are_counted_by_label() -> None:
    found = measure(HAND_MADE)
    assert found.labels.tolist() == [0, 2, 5, 7, 9]
    assert found.pixels.tolist() == [14, 1, 2, 2, 1]
    assert found.parts.shape == (5, OCTAVES)
    assert [np.flatnonzero(row).tolist() for row in found.parts] == [[3], [0], [1], [1], [0]]
    assert found.parts.sum(axis=1).tolist() == [1, 1, 1, 1, 1]
    assert found.part_pixels[0, 3] == 14


def test_each_pixel_knows_its_part() -> None:
    found = connected_parts(HAND_MADE)
    np.testing.assert_array_equal(found.labels[found.of_pixel], HAND_MADE)
    assert sorted(zip(found.labels.tolist(), found.pixels.tolist(), strict=True)) == [
        (0, 14),
        (2, 1),
        (5, 2),
        (7, 2),
        (9, 1),
    ]
    np.testing.assert_array_equal(np.bincount(found.of_pixel.ravel()), found.pixels)


def test_borders_and_pixels_in_between_are_counted() -> None:
    found = measure(HAND_MADE)
    assert found.border == 2 + 4 + 4 + 0  # row by row
    assert found.between == 1  # the 2 between 0 and 9


def test_a_map_of_one_pixel_is_one_part() -> None:
    found = measure(np.array([[65535]], np.uint16))
    assert (found.labels.tolist(), found.pixels.tolist(), found.border, found.between) == ([65535], [1], 0, 0)


@pytest.mark.skipif(not _numba.COMPILES, reason="needs numba")
@pytest.mark.parametrize("kind", ["noise", "spiral", "comb", "stripes", "single pixels"])
def test_the_compiled_version_agrees_with_the_readable_one(kind: str) -> None:
    generator = np.random.default_rng(0)
    maps = {
        "noise": [generator.integers(0, 3, generator.integers(1, 14, 2)) for _ in range(300)],
        "spiral": [_spiral(31)],
        "comb": [np.where(np.arange(40)[:, np.newaxis] < 39, np.arange(41) % 2, 1)],
        "single pixels": [np.arange(60 * 60).reshape(60, 60)],
        "stripes": [np.arange(30)[:, np.newaxis] // 3 % 4 + np.zeros((1, 7), int)],
    }
    for labels in maps[kind]:
        one, other = (version(labels.astype(np.uint16)) for version in (_measure_numpy, _measure_compiled))
        assert sorted(zip(*map(list, one[:2]), strict=True)) == sorted(zip(*map(list, other[:2]), strict=True))
        assert one[2:] == other[2:]


def _spiral(side: int) -> np.ndarray:
    """A line of 1 that winds inwards over 0, one part each."""
    labels, row, column, step = np.zeros((side, side), int), 0, 0, (0, 1)
    labels[0, 0] = 1
    for length in [side - 1, *(length for length in range(side - 1, 1, -2) for _ in "xx")]:
        for _ in range(length):
            row, column = row + step[0], column + step[1]
            labels[row, column] = 1
        step = (step[1], -step[0])
    return labels
