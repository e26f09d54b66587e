"""8-bit numbers in the place of float32, in any format: what they are made from, and what they stand for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from deeplab.errors import SettingsError

FEWEST = 8
"""Images that ranges are taken from: one image's are not those of others."""

SAMPLES = 4096
"""Values of a tensor that are looked at in an image, drawn at random."""

BINS, LEAST_SHARE, SHARES = 2048, 1 / 32, 80
"""Of the histogram that ranges are chosen by, and what is tried: these shares of the least and the largest value."""

SAME, WHOLE = 1e-5, 0.01
"""How far two values of filters may be apart, over the largest one, and how far they may be from a multiple of a step,
over the step, having been rounded when they were folded."""

Range = tuple[float, float]
"""The least and the largest of the numbers that 8 bits stand for."""

Found = TypeVar("Found")


@dataclass(frozen=True, eq=False)
class Int8:
    """How a network becomes one of 8-bit numbers."""

    images: Sequence[NDArray[np.uint8]]
    """(1, H, W, 3) RGB each, as the network sees them; the ranges of all its values are taken from them."""
    kept: tuple[str, ...] = ()
    """Layers that stay in float32, by their names in the model."""
    _measured: dict[int, tuple[object, Any]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if len(self.images) < FEWEST:
            raise SettingsError(
                f"calibration has {len(self.images)} image{'s' * (len(self.images) != 1)}; int8 wants at least "
                f"{FEWEST} that look like those to be segmented"
            )

    def keeping(self, layers: tuple[str, ...]) -> Int8:
        """The same with these layers in float32, for which nothing has to be measured again."""
        return Int8(self.images, layers, self._measured)

    def once(self, graph: object, measure: Callable[[], Found]) -> Found:
        """What `measure` finds of a graph on the images, whichever layers stay in float32; it is called once."""
        if id(graph) not in self._measured:
            self._measured[id(graph)] = graph, measure()  # held, so that the number stays its own
        found: Found = self._measured[id(graph)][1]
        return found


def closest_range(values: NDArray[np.float32]) -> Range:
    """The range, with zero in it, of which 256 steps are closest to values: their mean square error is the least.

    From the least to the largest value the steps would be wide for the sake of a few. What lies outside of a range is
    cut off; what lies within is rounded, which adds a twelfth of the square of a step.
    """
    values = values[np.isfinite(values)]  # a maximum is padded with -inf
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    counts, edges = np.histogram(values, BINS, (low, high))
    middles, shares = (edges[1:] + edges[:-1]) / 2, np.geomspace(LEAST_SHARE, 1, SHARES)
    lows, highs = low * shares[:, np.newaxis], high * shares[:, np.newaxis]
    below = np.square(np.minimum(middles - lows, 0)) @ counts
    above = np.square(np.maximum(middles - highs, 0)) @ counts
    rounded = np.square((highs.T - lows) / 255) / 12 * counts.sum()
    row, column = np.divmod(np.argmin(below[:, np.newaxis] + above + rounded), SHARES)
    return float(lows[row, 0]), float(highs[column, 0])


def sample(values: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.float32]:
    """Some of the values of a tensor, as many of any."""
    return values.ravel()[generator.integers(0, values.size, SAMPLES)]


def trained_steps(filters: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """The steps between the values of filters, (out_channels, ...), that had 8 bits when they were trained.

    Such filters have at most 256 values, all of them multiples of one step: numbers of 0 .. 255 with a zero point. Only
    a channel that is more than 127 of these steps away from zero gets a wider one.

    Returns:
        Of each channel, for whole numbers of -127 .. 127; None: they had more bits.
    """
    peak = np.abs(filters).max(initial=0)
    gaps = np.diff(np.unique(filters)) / peak if peak else np.zeros(0)
    gaps = gaps[gaps > SAME]
    if not 1 <= len(gaps) < 256:
        return None
    step = peak / np.rint(1 / gaps.min())
    numbers = filters / step
    if np.abs(numbers - np.rint(numbers)).max() > WHOLE:
        return None
    most = np.abs(numbers).reshape(len(filters), -1).max(axis=1)
    steps: NDArray[np.float32] = (step * np.maximum(most / 127, 1)).astype(np.float32)
    return steps
