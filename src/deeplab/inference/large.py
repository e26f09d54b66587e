"""From an image file larger than memory to a file of its labels: rows of tiles go in, rows of labels come out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeplab._machine import give_back_memory
from deeplab._progress import Progress, no_progress
from deeplab.errors import SettingsError
from deeplab.images import resize_image
from deeplab.images.large import LargeImage, open_large, write_label_rows
from deeplab.inference.multiscale import check_finite, coordinates
from deeplab.inference.predictor import TILE_SIZE, Segmenter, centres
from deeplab.inference.tiles import Logits, Tiled, Window
from deeplab.kernels.upsample_argmax import sample_argmax
from deeplab.results import Segmentation

__all__ = ["Overview", "segment_file"]

OVERVIEW_SIDE = 2048
"""Pixels of an overview's longer side, at most."""

STRIP = 2**22
"""Pixels of labels that are in memory at a time: a few logits can be those of all of a large image."""

Labels = NDArray[np.uint8 | np.uint16]


@dataclass(frozen=True, eq=False)
class Overview:
    """What is kept in memory of a large segmentation."""

    segmentation: Segmentation
    """Of every n-th pixel of every n-th row."""
    areas: dict[str, float]
    """The share of all pixels, 0..1, of every class that is present, largest first."""
    size: tuple[int, int]
    """Of the image, (height, width)."""
    seen: tuple[int, int]
    """At what size the network saw it."""


def segment_file(
    segmenter: Segmenter, image: str | Path, labels: str | Path, *, progress: Progress = no_progress
) -> Overview:
    """Segment an image file that may be larger than memory, and write its labels.

    The memory that it takes grows with the width of the image, not with its height.

    Args:
        image: A file that rasterio reads.
        labels: The label map that is written, of the size of the image; a name that ends in .png.
        progress: Shows how far it is: `with progress(title, total=rows of tiles) as advance`.

    Raises:
        SettingsError: The segmenter has scales, mirror images or a CRF, which want the image as a whole.
        InputNotFoundError, ImageError: The image cannot be read.
        CheckpointError: The model gives logits that are not finite.
        MissingExtraError: rasterio is not installed.
        OutputError: The labels cannot be written.
    """
    if segmenter.scales != (1.0,) or segmenter.flip or segmenter.crf is not None:
        raise SettingsError("an image that is segmented row by row can have no scales, flip or CRF; leave them out")
    with open_large(image) as source:
        size, seen = source.size, segmenter.seen_size(source.size)
        thinned = _Thinned(size, len(segmenter.classes))
        network = segmenter.by_tiles(seen)
        if not isinstance(network, Tiled):
            by_rows = seen == size and not network.fixed_size
            network = Tiled(network, tile_size=TILE_SIZE if by_rows else max(seen))
        if seen == size:
            window: Window = _Rows(source, thinned.add_image)
        else:
            small = source.resized(seen)
            thinned.set_image(small)
            window = lambda rows, columns: small[np.newaxis, rows, columns]  # noqa: E731
        with progress(f"Segmenting {Path(image).name}", total=network.bands_in_all(seen[0])) as advance:
            bands = _called_after_each(network.bands(window, seen), advance)
            strips = map(thinned.add_labels, _label_rows(bands, network, seen=seen, size=size))
            write_label_rows(labels, strips, size=size, palette=segmenter.palette)
    return thinned.overview(segmenter, seen)


def _label_rows(
    bands: Iterable[Logits], network: Tiled, *, seen: tuple[int, int], size: tuple[int, int]
) -> Iterator[Labels]:
    """The labels of an image of `size`, in strips, from the bands of the logits of what the network saw, `seen`."""
    grid = network.grid_size(seen)
    rows = columns = np.empty(0)
    held: NDArray[np.float32] | None = None  # the last row so far, (num_classes, 1, w)
    done = above = 0  # rows of labels; rows of logits before those in hand
    for band in bands:
        check_finite(band)
        if held is None:
            points = network.rows_in_all(band, seen[0]), band.shape[3]
            rows, columns = (
                coordinates(
                    centres(pixels), pixels=seen[axis], grid=grid[axis], points=points[axis],
                    align_corners=network.align_corners,
                )
                for axis, pixels in enumerate(size)
            )  # fmt: skip
            logits = band[0]
        else:
            logits = np.concatenate([held, band[0]], axis=1)
        last = above + logits.shape[1] - 1
        stop = int(np.searchsorted(rows, last))
        yield from _strips(logits, rows[done:stop] - above, columns)
        held, above, done = logits[:, -1:].copy(), last, stop
    assert held is not None
    yield from _strips(held, rows[done:] - above, columns)


def _strips(logits: NDArray[np.float32], rows: NDArray[np.float64], columns: NDArray[np.float64]) -> Iterator[Labels]:
    """The labels at `rows` and `columns` of the logits, some rows at a time."""
    step = max(1, STRIP // len(columns))
    for start in range(0, len(rows), step):
        yield sample_argmax(logits, rows[start : start + step], columns)


class _Rows:
    """Windows of a large image whose rows ascend; those that the next ones share are kept, so none is read twice."""

    def __init__(self, source: LargeImage, on_read: Callable[[NDArray[np.uint8], int], None]) -> None:
        """
        Args:
            on_read: Called with rows, (h, W, 3), and the number of the first.
        """
        self.source, self.on_read = source, on_read
        self.start = self.stop = 0
        self.held = np.empty((0, source.size[1], 3), np.uint8)

    def __call__(self, rows: slice, columns: slice) -> NDArray[np.uint8]:
        if rows.stop > self.stop:
            new = self.source.rows(self.stop, rows.stop)
            self.on_read(new, self.stop)
            self.held = np.concatenate([self.held[rows.start - self.start :], new])
            self.start, self.stop = rows.start, rows.stop
        return self.held[np.newaxis, rows.start - self.start : rows.stop - self.start, columns]


class _Thinned:
    """Collects what is kept of a large image and its labels: every n-th pixel of every n-th row, and the areas."""

    def __init__(self, size: tuple[int, int], num_classes: int) -> None:
        self.size = size
        self.step = -(-max(size) // OVERVIEW_SIDE)
        height, width = (len(range(0, length, self.step)) for length in size)
        self.image = np.zeros((height, width, 3), np.uint8)
        self.labels = np.zeros((height, width), np.uint8 if num_classes <= 256 else np.uint16)
        self.counts = np.zeros(num_classes, np.int64)
        self.row = 0

    def set_image(self, image: NDArray[np.uint8]) -> None:
        self.image = resize_image(image, (self.image.shape[0], self.image.shape[1]))

    def add_image(self, rows: NDArray[np.uint8], first: int) -> None:
        """Rows of the image, of which the `first` is the number of the first."""
        self._add(self.image, rows, first)

    def add_labels(self, strip: Labels) -> Labels:
        """The next rows of labels, which come back."""
        self.counts += np.bincount(strip.ravel(), minlength=len(self.counts))
        self._add(self.labels, strip, self.row)
        self.row += len(strip)
        return strip

    def _add(self, target: NDArray[Any], rows: NDArray[Any], first: int) -> None:
        taken = rows[-first % self.step :: self.step, :: self.step]
        start = -(-first // self.step)
        target[start : start + len(taken)] = taken

    def overview(self, segmenter: Segmenter, seen: tuple[int, int]) -> Overview:
        """Of all that was collected."""
        segmentation = Segmentation(
            labels=self.labels,
            classes=segmenter.classes,
            palette=segmenter.palette,
            image=self.image,
            compute_probabilities=_no_probabilities,
        )
        order = np.argsort(-self.counts, kind="stable")
        total = int(self.counts.sum())
        areas = {segmenter.classes[i]: int(self.counts[i]) / total for i in order if self.counts[i]}
        return Overview(segmentation, areas, self.size, seen)


def _no_probabilities() -> NDArray[np.float32]:
    raise SettingsError("a large image has labels only; for probabilities segment a part of it or a smaller copy")


def _called_after_each(bands: Iterable[Logits], advance: Callable[[], None]) -> Iterator[Logits]:
    for band in bands:
        yield band
        give_back_memory()  # pieces of many sizes were freed
        advance()
