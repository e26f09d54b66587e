"""How sure a figure is: the bootstrap over images (Efron and Tibshirani, An Introduction to the Bootstrap, 1993).

The images of a data set are a sample of those there could be. Samples of the same number of images, drawn from them
with replacement, show how far a figure would move with other images; an interval goes from one percentile of what they
give to another (section 13.3). The networks stay what they are: nothing is said of other training runs.

Images are taken as independent. Frames of one video are not, and intervals over them come out too narrow; add up the
counts of each video first, and the interval is over videos.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from deeplab.errors import DataError, SettingsError

__all__ = ["Interval", "interval", "intervals", "paired_difference", "paired_differences"]

Counts: TypeAlias = NDArray[Any]
Statistic: TypeAlias = Callable[[NDArray[Any]], float]
Statistics: TypeAlias = Callable[[NDArray[Any]], Sequence[float] | NDArray[np.float64]]

SAMPLES = 2000
"""Chance moves the ends of a 95 % interval by a twentieth of a standard deviation then."""

AT_A_TIME = 2**24
"""Counts of samples, and weights of their images, that are in memory at a time: 128 MiB each."""


class Interval(NamedTuple):
    """A figure and where it lies with the given confidence."""

    value: float
    low: float
    """nan, as `high`, over fewer than two images."""
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} ({self.ends()})"

    def ends(self, *, signed: bool = False) -> str:
        """As in "0.5123 .. 0.6012", "-" where they are nan.

        Args:
            signed: Of a difference, "+0.0123 .. +0.0456".
        """
        if math.isnan(self.low):
            return "-"
        sign = "+" if signed else ""
        return f"{self.low:{sign}.4f} .. {self.high:{sign}.4f}"


def interval(
    counts: Counts, statistic: Statistic, *, confidence: float = 0.95, samples: int = SAMPLES, seed: int = 0
) -> Interval:
    """A figure of a data set and its percentile interval over images.

    Args:
        counts: What was counted in each image, (images, ...): confusion matrices, or anything else that adds up.
        statistic: The figure, from the sum over images: `miou`, `mean_class_ratio` ... It may be nan, where a sample
            has nothing to measure on; such samples are left out.
        confidence: Share of the samples within the interval.
        samples: Number of samples; the time goes with it.
        seed: Of the samples; the same for the same number of images.

    Raises:
        DataError: No image.
        SettingsError: A confidence that is not between 0 and 1.
    """
    return intervals(counts, lambda total: [statistic(total)], confidence=confidence, samples=samples, seed=seed)[0]


def intervals(
    counts: Counts, statistics: Statistics, *, confidence: float = 0.95, samples: int = SAMPLES, seed: int = 0
) -> list[Interval]:
    """As `interval`, for several figures of the same samples.

    Args:
        statistics: The figures, always as many, from the sum over images.
    """
    figures = np.array([statistics(total) for total in _resampled(counts, samples, seed)])
    return _percentiles(np.asarray(statistics(counts.sum(axis=0))), figures, len(counts), confidence)


def paired_difference(
    first: Counts,
    second: Counts,
    statistic: Statistic,
    *,
    confidence: float = 0.95,
    samples: int = SAMPLES,
    seed: int = 0,
) -> Interval:
    """How much higher the figure of the second system is than that of the first, on the same images.

    Each sample draws the same images for both: what makes an image hard for both cancels, so that the interval is
    narrower than those of the two figures would suggest.

    Args:
        first, second: As `counts` of `interval`, image by image the same ones.
        statistic, confidence, samples, seed: As in `interval`.

    Raises:
        DataError: No image, or not the same number for both.
        SettingsError: As `interval`.
    """
    return paired_differences(
        first, second, lambda total: [statistic(total)], confidence=confidence, samples=samples, seed=seed
    )[0]


def paired_differences(
    first: Counts,
    second: Counts,
    statistics: Statistics,
    *,
    confidence: float = 0.95,
    samples: int = SAMPLES,
    seed: int = 0,
) -> list[Interval]:
    """As `paired_difference`, for several figures of the same samples."""
    if first.shape != second.shape:
        raise DataError(f"counts of shapes {first.shape} and {second.shape}; both systems want the same images")

    def difference(ours: Counts, theirs: Counts) -> NDArray[np.float64]:
        return np.asarray(statistics(theirs), np.float64) - np.asarray(statistics(ours), np.float64)

    pairs = zip(_resampled(first, samples, seed), _resampled(second, samples, seed), strict=True)
    figures = np.array([difference(*pair) for pair in pairs])
    return _percentiles(difference(first.sum(axis=0), second.sum(axis=0)), figures, len(first), confidence)


def _resampled(counts: Counts, samples: int, seed: int) -> Iterator[Counts]:
    """The counts of each sample, summed over its images.

    How often an image is drawn is multinomial, so that a sample is a row of weights, and many are one product.
    """
    images = len(counts)
    if images == 0:
        raise DataError("an interval over no images; count at least one")
    generator = np.random.default_rng(seed)
    flat = counts.reshape(images, -1).astype(np.float64)  # counts below 2**53 stay whole
    step = max(1, AT_A_TIME // max(images, flat.shape[1]))
    for start in range(0, samples, step):
        weights = generator.multinomial(images, np.full(images, 1 / images), size=min(step, samples - start))
        totals = (weights.astype(np.float64) @ flat).astype(counts.dtype)
        yield from totals.reshape(-1, *counts.shape[1:])


def _percentiles(
    values: NDArray[np.float64], figures: NDArray[np.float64], images: int, confidence: float
) -> list[Interval]:
    """The interval of each value from its figures of the samples, (samples, values)."""
    if not 0 < confidence < 1:
        raise SettingsError(f"confidence wants a number between 0 and 1, got {confidence!r}")
    found = []
    for value, column in zip(values.tolist(), figures.T, strict=True):
        known = column[~np.isnan(column)]
        low, high = math.nan, math.nan
        if images >= 2 and known.size:
            low, high = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2]).tolist()
        found.append(Interval(value, low, high))
    return found
