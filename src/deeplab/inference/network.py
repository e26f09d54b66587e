"""What segmenting asks of a model, whatever runs it: images and logits as numpy arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Exported", "Network", "OfPyTorch"]


class Network(Protocol):
    """Images in, one score per class and cell of a coarse grid out."""

    @property
    def name(self) -> str: ...

    @property
    def device(self) -> Any:
        """Where it runs; its `str()` is the name."""

    @property
    def align_corners(self) -> bool:
        """How its logits are to be resized."""

    @property
    def fixed_size(self) -> tuple[int, int] | None:
        """The (height, width) that no image may exceed, for networks of one size; None: any size."""

    def coarse_logits(self, images: NDArray[np.uint8], /) -> NDArray[np.float32]:
        """uint8 (N, H, W, 3) RGB, contiguous -> logits float32 (N, num_classes, h, w)."""

    def grid_size(self, size: tuple[int, int], /) -> tuple[int, int]:
        """The (height, width) that the logits of an image of `size`, their top left, spread over."""

    def fingerprint(self) -> bytes:
        """What tells it from any network that computes something else."""


@runtime_checkable
class OfPyTorch(Protocol):
    """A network whose logits may lie on a GPU, where the label map is made sooner than here."""

    def logits_there(self, images: NDArray[np.uint8], /) -> Tensor:
        """As `coarse_logits`, on the device of the network."""


@runtime_checkable
class Exported(Protocol):
    """A network from a file in the format of an inference engine, with all that is needed to use it."""

    @property
    def network(self) -> Network: ...

    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def palette(self) -> NDArray[np.uint8]:
        """(num_classes, 3), RGB."""

    @property
    def long_side(self) -> int | None:
        """Pixels to which the image's longer side is scaled first; None: it is left as it is."""
