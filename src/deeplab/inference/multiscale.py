"""One image at several scales and mirrored: the mean of the softmax probabilities.

Each view is resized from the image itself; its logits are interpolated to the output's pixels and made
probabilities; their mean is the result, as in the official code's evaluation (DeepLab v2, arXiv:1606.00915,
takes the maximum of scores). The official probabilities are a softmax of that mean once more, which flattens
them; here there is none. Full-size probabilities exist only strip by strip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from deeplab._machine import cores
from deeplab.errors import CheckpointError
from deeplab.images import resize_image
from deeplab.inference.network import Network, OfPyTorch
from deeplab.inference.read_ahead import read_ahead
from deeplab.kernels.taps import Taps, part_of, taps
from deeplab.kernels.upsample_argmax import sample_argmax

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["View", "check_finite", "coordinates", "mean_probabilities", "mean_probabilities_at", "views"]

STRIP = 2**19
"""Probabilities (pixels x classes) that a thread computes at a time: 2 MiB stay near the processor."""


@dataclass(frozen=True, eq=False)
class View:
    """What a network made of an image at one scale, mirrored or not."""

    logits: NDArray[np.float32]
    """float32 (num_classes, h, w)."""
    size: tuple[int, int]
    """(height, width) of the image at this scale."""
    grid: tuple[int, int]
    """(height, width) in pixels that `logits` spread over; the image is its top left."""
    align_corners: bool
    flipped: bool = False
    there: Tensor | None = None
    """The logits on the device of a network of PyTorch, until they are fetched."""

    def fetched(self) -> View:
        """The same, which holds no memory of a device."""
        return replace(self, there=None)

    def labels(self, rows: NDArray[np.float64], columns: NDArray[np.float64]) -> NDArray[np.uint8 | np.uint16]:
        """The most probable class at a grid of positions in the image, as of `rows` and `columns`."""
        if self.flipped:  # columns have to ascend
            return replace(self, flipped=False).labels(rows, 1 - columns[::-1])[:, ::-1]
        points = self.rows(rows), self.columns(columns)
        if self.there is None or not self.there.is_cuda:
            return sample_argmax(self.logits, *points)
        from deeplab.kernels.upsample_argmax_gpu import sample_argmax_there

        labels = sample_argmax_there(self.there, *points).cpu().numpy()
        return labels if labels.dtype == np.uint8 else labels.astype(np.uint16)

    def rows(self, positions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rows of `logits` at positions in the image: 0 is its upper and 1 its lower edge."""
        return self._coordinates(positions, axis=0)

    def columns(self, positions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Columns of `logits` at positions in the unmirrored image: 0 is its left and 1 its right edge."""
        return self._coordinates(1 - positions if self.flipped else positions, axis=1)

    def _coordinates(self, positions: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        return coordinates(
            positions,
            pixels=self.size[axis],
            grid=self.grid[axis],
            points=self.logits.shape[1 + axis],
            align_corners=self.align_corners,
        )


def coordinates(
    positions: NDArray[np.float64], *, pixels: int, grid: int, points: int, align_corners: bool
) -> NDArray[np.float64]:
    """Positions along an image, 0 at its start and 1 at its end, in points of the network's output.

    Args:
        pixels: Of the image.
        grid: Pixels that the points spread over, from the start of the image on.
    """
    if align_corners:
        return (positions * pixels - 0.5) * ((points - 1) / max(grid - 1, 1))
    return positions * (pixels * points / grid) - 0.5


def check_finite(logits: NDArray[np.float32]) -> None:
    """Raise CheckpointError if these are no numbers that classes can be told by."""
    if not np.isfinite(logits).all():
        raise CheckpointError(
            "the model gives logits that are not finite (NaN or infinite): its weights are damaged "
            "or its training diverged; take another model or an earlier checkpoint"
        )


def views(
    network: Network,
    images: Sequence[NDArray[np.uint8]],
    *,
    size: tuple[int, int],
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
) -> list[tuple[View, ...]]:
    """Show every image to the network, as one batch, at each scale and, with `flip`, mirrored as well.

    Args:
        images: uint8 (H, W, 3) RGB, of any sizes.
        size: (height, width) that all of them get at scale 1.
        scales: Factors of `size`; k * stride + 1 pixels stay of that form where they can.

    Returns:
        The views of each image.

    Raises:
        CheckpointError: The network gives logits that are not finite.
    """
    found: list[tuple[View, ...]] = [() for _ in images]
    for scale in scales:
        height, width = (round((length - 1) * scale) + 1 for length in size)
        batch = np.stack([resize_image(image, (height, width)) for image in images])
        grid = network.grid_size((height, width))
        for flipped in (False, True) if flip else (False,):
            shown = batch[:, :, ::-1].copy() if flipped else batch
            there = network.logits_there(shown) if isinstance(network, OfPyTorch) else None
            logits = network.coarse_logits(shown) if there is None else there.cpu().numpy()
            check_finite(logits)
            for index, one in enumerate(logits):
                view = View(one, (height, width), grid, network.align_corners, flipped)
                found[index] += (view if there is None else replace(view, there=there[index]),)
    return found


def mean_probabilities(
    views: Sequence[View], rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """The mean over the views of their softmax probabilities at a grid of positions in the image.

    Args:
        rows: Ascending float64 (H,): 0 is the upper edge of the image, 1 the lower one.
        columns: The same from left to right, (W,).

    Yields:
        Strip by strip, its part of `rows`, and float32 (num_classes, its rows, W).
    """
    step = max(1, STRIP // max(1, len(columns) * len(views[0].logits)))
    return _by_strips(lambda strip: _mean(_sample(view, rows[strip], columns) for view in views), len(rows), step)


def mean_probabilities_at(
    views: Sequence[View], rows: NDArray[np.float64], columns: NDArray[np.float64], points: NDArray[np.intp]
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """The same at some points of the grid only.

    Args:
        points: Their indices in the flattened grid, (N,).

    Yields:
        Strip by strip, its part of `points`, and float32 (num_classes, its points).
    """
    step = max(1, STRIP // len(views[0].logits))
    return _by_strips(
        lambda strip: _mean(_sample_at(view, rows, columns, points[strip]) for view in views), len(points), step
    )


def _by_strips(
    compute: Callable[[slice], NDArray[np.float32]], length: int, step: int
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Strips of so many of `length` things, and what is computed of each, several at a time."""
    strips = (slice(start, start + step) for start in range(0, length, step))
    for strip, probabilities in read_ahead(compute, strips, ahead=cores()):
        yield strip, probabilities.result()


def _mean(logits: Iterator[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Of the softmax probabilities of each; all are overwritten."""
    total, count = _softmax(next(logits)), 1
    for each in logits:
        total += _softmax(each)
        count += 1
    total /= count
    return total


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Over the classes, the first axis; in place."""
    logits -= logits.max(axis=0)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=0)
    return logits


def _sample(view: View, rows: NDArray[np.float64], columns: NDArray[np.float64]) -> NDArray[np.float32]:
    """The logits at a grid of positions: (num_classes, len(rows), len(columns))."""
    _, height, width = view.logits.shape
    down, across = taps(view.rows(rows), height), taps(view.columns(columns), width)
    first, last = down.lower[0], down.upper[-1]
    band = _interpolate(view.logits[:, first : last + 1], across, axis=2)  # (C, the rows at hand, W)
    return _interpolate(band, down._replace(lower=down.lower - first, upper=down.upper - first), axis=1)


def _sample_at(
    view: View, rows: NDArray[np.float64], columns: NDArray[np.float64], points: NDArray[np.intp]
) -> NDArray[np.float32]:
    """The logits at some points of the flattened grid: (num_classes, len(points))."""
    pixels = view.logits.transpose(1, 2, 0)
    row, column = np.divmod(points, len(columns))
    down = part_of(taps(view.rows(rows), pixels.shape[0]), row)
    across = part_of(taps(view.columns(columns), pixels.shape[1]), column)
    upper, lower = (
        _between(pixels[at, across.lower], pixels[at, across.upper], across.fraction[:, None])
        for at in (down.lower, down.upper)
    )  # (len(points), num_classes)
    return np.ascontiguousarray(_between(upper, lower, down.fraction[:, None]).T)


def _interpolate(x: NDArray[np.float32], at: Taps, *, axis: int) -> NDArray[np.float32]:
    """(C, h, w) with `axis` 1 or 2 interpolated linearly to the length of `at`."""
    return _between(x.take(at.lower, axis), x.take(at.upper, axis), at.fraction[:, None] if axis == 1 else at.fraction)


def _between(
    lower: NDArray[np.float32], upper: NDArray[np.float32], fraction: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Linear between the two; in place of the second."""
    upper -= lower
    upper *= fraction
    upper += lower
    return upper
