"""A pairwise kernel as a filter of what lies at the pixels, by the compiled lattice that suits it."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from deeplab.crf.pairwise import Normalization, PairwiseKernel, features
from deeplab.kernels._simd import LANES
from deeplab.kernels._workers import Workers
from deeplab.kernels.lattice_building import build_lattice
from deeplab.kernels.pixel_lattice import FINE_SIGMAS, LONGEST, build_pixel_lattice
from deeplab.kernels.pixel_tiles import Tile

__all__ = ["filter_of"]

Floats: TypeAlias = NDArray[np.float32]


def filter_of(
    kernel: PairwiseKernel, image: Tensor, tiles: list[Tile], workers: Workers
) -> LatticeFilter | PixelFilter:
    """The normalised filter of a kernel.

    Args:
        image: Float (*size, bands), grey levels.
        tiles: Of its pixels.
    """
    values = features(kernel, image).numpy()
    rows = np.concatenate([tile.of(values).reshape(-1, values.shape[-1]) for tile in tiles])
    sigmas = np.broadcast_to(np.asarray(kernel.sigma_xy, np.float64), image.ndim - 1)
    fine = FINE_SIGMAS[0] <= sigmas.min() and sigmas.max() <= FINE_SIGMAS[1] and max(image.shape) <= LONGEST
    if kernel.sigma_rgb is None and len(sigmas) == 2 and fine:
        return PixelFilter(rows, tiles, (sigmas[0], sigmas[1]), kernel.normalization, workers)
    return LatticeFilter(rows, kernel.normalization, workers)


class LatticeFilter:
    """By the lattice around any points."""

    def __init__(self, features: Floats, normalization: Normalization, workers: Workers) -> None:
        self.workers = workers
        self.lattice = lattice = build_lattice(features, workers=workers)
        self.gain = lattice.gain
        self.shares, self.weights = lattice.shares, lattice.weights
        self.at_corners: Floats | None = None
        if normalization == "none":
            return
        ones = np.ones((len(features), 1), np.float32)
        before, after = _factors(lattice.filter(ones, workers=workers)[:, 0], normalization)
        if before is not None:
            self.shares = shares = np.empty_like(lattice.shares)

            def weigh(first: int, end: int) -> None:
                some = slice(first, end)
                np.multiply(lattice.shares[some], before[lattice.points[some]], out=shares[some])

            workers.each(weigh, len(shares))
        if after is not None:
            self.weights = lattice.weights * after[:, np.newaxis]

    def spread(self, rows: Floats) -> None:
        """Take what lies at the pixels, float32 (N, C), C a multiple of 8; it may not change until the next call."""
        self.at_corners = self.lattice.spread(rows, self.shares, workers=self.workers, out=self.at_corners)

    def gather(self, tile: Tile, factor: float, out: Floats) -> None:
        """Add to `out`, float32 (pixels of the tile, C), their filtered values times a factor over the gain."""
        assert self.at_corners is not None, "spread comes first"
        self.lattice.gather(self.at_corners, self.weights, factor, tile.rows, out)


class PixelFilter:
    """By the lattice around the pixels of an image; used as a `LatticeFilter`."""

    def __init__(
        self,
        features: Floats,
        tiles: list[Tile],
        sigmas: tuple[float, float],
        normalization: Normalization,
        workers: Workers,
    ) -> None:
        self.lattice = lattice = build_pixel_lattice(features, tiles, sigmas, workers=workers)
        self.gain = lattice.gain
        self.shares = self.weights = lattice.weights
        self.rows: Floats | None = None
        if normalization == "none":
            return
        ones = np.ones((len(features), LANES), np.float32)
        before, after = _factors(lattice.filter(ones, tiles, workers=workers)[:, 0], normalization)
        if before is not None:
            self.shares = lattice.weights * before[:, np.newaxis]
        if after is not None:
            self.weights = self.shares if after is before else lattice.weights * after[:, np.newaxis]

    def spread(self, rows: Floats) -> None:
        self.rows = rows  # each tile is spread when it gathers

    def gather(self, tile: Tile, factor: float, out: Floats) -> None:
        assert self.rows is not None, "spread comes first"
        self.lattice.gather(self.rows, self.shares, self.weights, factor, tile, out)


def _factors(constant: Floats, normalization: Normalization) -> tuple[Floats | None, Floats | None]:
    """What each pixel is multiplied by before and after the filter, from what this makes of ones."""
    factor = np.reciprocal(np.sqrt(constant) if normalization == "symmetric" else constant)
    return factor if normalization != "after" else None, factor if normalization != "before" else None
