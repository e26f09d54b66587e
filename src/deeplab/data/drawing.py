"""Labels drawn from regions, as annotation tools keep them: polygons, run lengths and small pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from deeplab.errors import DataError
from deeplab.files import File
from deeplab.images import read_labels

__all__ = ["IGNORED", "Bitmap", "Drawing", "Polygon", "Region", "Runs", "decompress"]

IGNORED = 65535
"""The label of a drawing's pixels that do not count, however many classes there are."""

FINENESS = 5
"""Steps to a pixel of the grid that COCO's tools lay the corners of a polygon on."""

FARTHEST = 2**17
"""No corner lies so many pixels away: a mistake would take all memory."""

Labels = NDArray[np.uint16]


class Region(Protocol):
    """Some pixels of an image."""

    def paint(self, labels: Labels, label: int) -> None:
        """Set these pixels of `labels`, (H, W), to `label`.

        Raises:
            ValueError: The region contradicts itself or the size of the image.
        """


@dataclass(frozen=True, eq=False)
class Drawing:
    """A label map as regions, each painted over those before it."""

    name: str
    """What errors call it: the file and the image in it."""
    regions: Sequence[tuple[int, Region]]
    """A label and its pixels, from the bottom to the top."""
    size: tuple[int, int] | None = None
    """(height, width) in pixels of the image that they were drawn on; None: not said."""
    background: int = 0
    """The label outside of all regions."""

    def __str__(self) -> str:
        return self.name

    def read(self, size: tuple[int, int]) -> Labels:
        """The labels, uint16, for an image of `size` = (height, width). Raises DataError."""
        labels = np.full(size, self.background, np.uint16)
        for number, (label, region) in enumerate(self.regions, start=1):
            try:
                region.paint(labels, label)
            except ValueError as error:
                raise DataError(f"{self.name}: region {number}: {error}") from error
        return labels


@dataclass(frozen=True, eq=False)
class Polygon:
    """What lies inside a closed line: the pixels that COCO's own tools give it, to the last one.

    The line runs through the steps of a grid of `FINENESS` to a pixel. It parts two pixels of a column where it
    crosses the middle of that column between their centres; what a line crosses twice is outside again.
    """

    corners: NDArray[np.int32]
    """(N, 2): x and y on the fine grid, whose origin is the top-left corner of the image."""

    @classmethod
    def of(cls, points: Any) -> Polygon:
        """From x and y in pixels, (N, 2) or one after the other. Raises ValueError unless that is what they are."""
        corners = np.asarray(points, np.float64).reshape(-1, 2)
        if not (np.abs(corners) < FARTHEST).all():  # false for nan
            raise ValueError(f"a corner of a polygon is not within {FARTHEST} pixels")
        return cls((FINENESS * corners + 0.5).astype(np.int32))

    def paint(self, labels: Labels, label: int) -> None:
        height, width = labels.shape
        columns, rows = self._crossings(height, width)
        if len(columns) == 0:
            return
        left, top = columns.min(), rows.min()
        box = (columns.max() - left + 1, rows.max() - top + 1)
        crossings = np.bincount((columns - left) * box[1] + rows - top, minlength=box[0] * box[1]).reshape(box)
        inside = np.cumsum(crossings, axis=1)[:, :-1] % 2 == 1  # (columns, rows)
        labels[top : top + box[1] - 1, left : left + box[0]][inside.T] = label

    def _crossings(self, height: int, width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The column and the first row below of each place where the line crosses the middle of a column."""
        x, y = self._line()
        left, top = np.minimum(x[1:], x[:-1]), np.minimum(y[1:], y[:-1])
        half = FINENESS // 2  # the step before the middle of a pixel
        columns, rest = np.divmod(left - half, FINENESS)
        crosses = (x[1:] != x[:-1]) & (rest == 0) & (columns >= 0) & (columns < width)
        rows = np.clip(-((half - top) // FINENESS), 0, height)  # rounded up
        return columns[crosses], rows[crosses]

    def _line(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """x and y of all steps along the closed line, edge after edge, each with both of its ends."""
        start = self.corners.astype(np.int64)
        end = np.roll(start, -1, axis=0)
        length = np.abs(end - start)  # (N, 2)
        steep = length[:, 1] > length[:, 0]
        # Along the longer of its two sides an edge goes in single steps, from the lower end for the sake of rounding.
        along = np.where(steep, 1, 0)[:, np.newaxis]
        steps = np.take_along_axis(length, along, axis=1)[:, 0]
        backwards = np.take_along_axis(start > end, along, axis=1)[:, 0]
        low = np.where(backwards[:, np.newaxis], end, start)
        high = np.where(backwards[:, np.newaxis], start, end)
        rise = np.take_along_axis(high - low, 1 - along, axis=1)[:, 0]
        slope = rise / np.maximum(steps, 1)

        edge = np.repeat(np.arange(len(start)), steps + 1)
        step = np.arange(len(edge)) - np.repeat(np.cumsum(steps + 1) - steps - 1, steps + 1)
        step = np.where(backwards[edge], steps[edge] - step, step)
        longer = np.take_along_axis(low, along, axis=1)[edge, 0] + step
        shorter = (np.take_along_axis(low, 1 - along, axis=1)[edge, 0] + slope[edge] * step + 0.5).astype(np.int64)
        return np.where(steep[edge], shorter, longer), np.where(steep[edge], longer, shorter)


@dataclass(frozen=True, eq=False)
class Runs:
    """Run lengths: how many pixels are outside, inside, outside ..., in turn."""

    counts: NDArray[np.int64] | str
    """Numbers of pixels, or those as COCO's text (see `decompress`)."""
    size: tuple[int, int]
    """(height, width) of the box that the runs fill."""
    corner: tuple[int, int] = (0, 0)
    """(row, column) of the top-left pixel of the box."""
    by_column: bool = False
    """Whether the runs go down the columns, as COCO's do, and not along the rows."""

    def paint(self, labels: Labels, label: int) -> None:
        counts = decompress(self.counts) if isinstance(self.counts, str) else self.counts
        height, width = self.size
        box = _box(labels, self.corner, self.size)
        if counts.sum() != height * width or (counts < 0).any():
            raise ValueError(f"run lengths of {counts.sum()} pixels in all do not fill {height} x {width}")
        inside = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
        box[inside.reshape(width, height).T if self.by_column else inside.reshape(height, width)] = label


@dataclass(frozen=True, eq=False)
class Bitmap:
    """The pixels that are not zero in a small picture."""

    picture: File
    corner: tuple[int, int]
    """(row, column) of its top-left pixel."""

    def paint(self, labels: Labels, label: int) -> None:
        inside = read_labels(self.picture) != 0
        _box(labels, self.corner, inside.shape)[inside] = label


def decompress(text: str) -> NDArray[np.int64]:
    """COCO's text of run lengths as numbers.

    Each character is 48 + 6 bits: five of the number, lowest first, and one that says that more of it follow; the
    last five bits are signed. From the fourth on, a number is the difference to the one two places before.

    Raises:
        ValueError: The text ends in the middle of a number, or has another character.
    """
    counts: list[int] = []
    number = shift = 0
    for code in text.encode():
        bits = code - 48
        if not 0 <= bits < 64:
            raise ValueError(f"'{chr(code)}' does not occur in compressed run lengths")
        number |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            number -= 1 << shift
        counts.append(number + (counts[-2] if len(counts) > 2 else 0))
        number = shift = 0
    if shift:
        raise ValueError("compressed run lengths end in the middle of a number")
    return np.array(counts, np.int64)


def _box(labels: Labels, corner: tuple[int, int], size: tuple[int, ...]) -> Labels:
    """The part of `labels` with this top-left corner, (row, column), and (height, width)."""
    (top, left), (height, width) = corner, size
    if not (0 <= top <= top + height <= labels.shape[0] and 0 <= left <= left + width <= labels.shape[1]):
        raise ValueError(
            f"a box of {height} x {width} pixels at (row {top}, column {left}) is not within the image of "
            f"{labels.shape[0]} x {labels.shape[1]}"
        )
    return labels[top : top + height, left : left + width]
