"""A network that computes nothing twice, also not after the program has ended."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeplab.files import written_aside
from deeplab.inference.network import Network

__all__ = ["RememberedNetwork"]


class RememberedNetwork:
    """The logits of a network, kept in files: coarse as they are, they are small, and exact.

    A file is found by the weights and the pixels that it was computed from, so that no other option matters.
    """

    def __init__(self, network: Network, folder: Path) -> None:
        """
        Args:
            folder: Where the files are; made when the first is written.
        """
        self.network, self.folder = network, folder
        self.name, self.align_corners, self.fixed_size = network.name, network.align_corners, network.fixed_size
        self.device: Any = network.device
        self.weights = network.fingerprint()

    def coarse_logits(self, images: NDArray[np.uint8], /) -> NDArray[np.float32]:
        """As in `Network`."""
        key = hashlib.sha256(self.weights + repr(images.shape).encode() + images.tobytes()).hexdigest()
        path = self.folder / f"{key}.npy"
        with suppress(OSError, EOFError, ValueError):  # not there, or damaged
            kept: NDArray[np.float32] = np.load(path)
            return kept
        logits = self.network.coarse_logits(images)
        with written_aside(path) as aside:
            np.save(aside, logits)
        return logits

    def grid_size(self, size: tuple[int, int], /) -> tuple[int, int]:
        """As in `Network`."""
        return self.network.grid_size(size)

    def fingerprint(self) -> bytes:
        """As in `Network`."""
        return self.weights
