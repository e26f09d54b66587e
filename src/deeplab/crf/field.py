"""The marginals of an image by compiled kernels: algorithm 1 of Kraehenbuehl and Koltun, NIPS 2011."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from deeplab.crf.filters import filter_of
from deeplab.crf.pairwise import PairwiseKernel, compatibility
from deeplab.kernels._simd import LANES, aligned
from deeplab.kernels._workers import Workers
from deeplab.kernels.pixel_tiles import Tile, tiles_of
from deeplab.kernels.softmax import softmax

__all__ = ["Field", "Terms"]

Floats: TypeAlias = NDArray[np.float32]

NEVER = -1e30
"""The score of the columns that are no class."""


class Terms(NamedTuple):
    """What makes up the free energy of a set of marginals."""

    unary: float
    pairwise: float
    """Each pair once. As in the authors' code, equal labels are paid for instead of different ones charged, which
    is the same but for a constant; and a pixel pairs with itself."""
    entropy: float

    @property
    def energy(self) -> float:
        """The expected energy."""
        return self.unary + self.pairwise

    @property
    def kl(self) -> float:
        """The KL divergence from the CRF's distribution, less the logarithm of its normaliser, which is not known:
        what the iterations lower."""
        return self.energy - self.entropy


class Field:
    """The marginals of one image, and what changes them, in rows of pixels tile by tile."""

    def __init__(self, kernels: Sequence[PairwiseKernel], image: Tensor, unary: Floats, workers: Workers) -> None:
        self.shape, self.workers = unary.shape, workers
        self.num_classes = len(unary)
        self.tiles = tiles_of(unary.shape[1:])
        columns = -(-self.num_classes // LANES) * LANES
        self.scores = aligned(math.prod(self.shape[1:]), columns)
        self.marginals, self.updated = aligned(*self.scores.shape), aligned(*self.scores.shape)

        def start(tile: Tile) -> None:
            scores = self.scores[tile.rows]
            energies = tile.of(np.moveaxis(unary, 0, -1))
            np.negative(energies, out=scores[:, : self.num_classes].reshape(energies.shape))
            scores[:, self.num_classes :] = NEVER
            softmax(scores, self.marginals[tile.rows])

        workers.map(start, self.tiles)
        self.messages = [_Message(kernel, image, self.tiles, self.num_classes, workers) for kernel in kernels]

    def update(self) -> None:
        """One iteration of algorithm 1: message passing, compatibility transform, local update."""
        for message in self.messages:
            message.spread(self.marginals)

        def update_tile(tile: Tile) -> None:
            scores = self.updated[tile.rows]
            scores[...] = self.scores[tile.rows]
            for message in self.messages:
                message.subtract(tile, scores)
            softmax(scores, scores)

        self.workers.map(update_tile, self.tiles)
        self.marginals, self.updated = self.updated, self.marginals

    def terms(self) -> Terms:
        """Of the marginals as they are."""
        marginals = self.marginals[:, : self.num_classes].astype(np.float64)
        cost = np.zeros_like(self.scores)
        for message in self.messages:
            message.spread(self.marginals)
            for tile in self.tiles:
                message.subtract(tile, cost[tile.rows])
        return Terms(
            unary=float(-(self.scores[:, : self.num_classes] * marginals).sum()),
            pairwise=float(-0.5 * (cost[:, : self.num_classes] * marginals).sum()),
            entropy=float(-(marginals * np.log(np.maximum(marginals, 1e-20))).sum()),
        )

    def result(self) -> Floats:
        result = np.empty(self.shape, np.float32)

        def finish(tile: Tile) -> None:
            target = tile.of(np.moveaxis(result, 0, -1))
            target[...] = self.marginals[tile.rows, : self.num_classes].reshape(target.shape)

        self.workers.map(finish, self.tiles)
        return result


class _Message:
    """What a kernel tells each pixel about the others: a normalised filter and a compatibility."""

    def __init__(
        self, kernel: PairwiseKernel, image: Tensor, tiles: list[Tile], num_classes: int, workers: Workers
    ) -> None:
        self.compatibility = compatibility(kernel, num_classes)
        self.filter = filter_of(kernel, image, tiles, workers)
        self.factor = -kernel.weight * self.filter.gain

    def spread(self, marginals: Floats) -> None:
        """Take the marginals; until the next call they stay as they are."""
        self.filter.spread(marginals)

    def subtract(self, tile: Tile, scores: Floats) -> None:
        """Take from the scores of a tile what its labels cost with those of the others."""
        if self.compatibility is None:  # Potts: equal labels are paid for
            self.filter.gather(tile, -self.factor, scores)
            return
        gathered = np.zeros_like(scores)
        self.filter.gather(tile, self.factor, gathered)
        num_classes = len(self.compatibility)
        if self.compatibility.ndim == 1:
            scores[:, :num_classes] += gathered[:, :num_classes] * self.compatibility
        else:
            scores[:, :num_classes] += gathered[:, :num_classes] @ self.compatibility
