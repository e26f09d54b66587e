"""An exported network as it is used: what its file says of it, and what runs it. No torch here."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeplab.errors import CheckpointError

FORMAT = 1
"""Raised when a file of an older version of this package can no longer be read by the same code."""

KEY = "deeplab"
"""Under this name the description lies in the file's metadata, as JSON."""

Run = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""uint8 (N, H, W, 3) RGB -> logits float32 (N, num_classes, h, w)."""

RunBoth = Callable[[NDArray[np.uint8]], tuple[NDArray[np.float32], NDArray[np.integer]]]
"""uint8 (N, H, W, 3) RGB -> the logits, and the label map inside the file (N, H, W)."""


@dataclass(frozen=True)
class Description:
    """What lies beside the network in an exported file."""

    model: str
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    long_side: int | None
    """Pixels to which the image's longer side is to be scaled first."""
    align_corners: bool
    """How the logits are to be resized."""
    stride: int
    """The logits spread over the image padded at the bottom and the right to k * stride + 1 pixels; 1: not padded."""
    fixed_size: tuple[int, int] | None
    """(height, width) of the only image that the network takes; smaller ones are padded with `padding`."""
    padding: tuple[int, int, int]
    """RGB."""
    version: str = ""
    format: int = FORMAT

    def grid_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The (height, width) that the logits of an image of `size`, their top left, spread over."""
        height, width = (length + (1 - length) % self.stride for length in self.fixed_size or size)
        return height, width

    def padded(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """uint8 (H, W, 3) as the network takes it: (1, H, W, 3), or of its fixed size."""
        if self.fixed_size is None:
            return image[np.newaxis]
        padded = np.empty((1, *self.fixed_size, 3), np.uint8)
        padded[:] = self.padding
        padded[0, : image.shape[0], : image.shape[1]] = image
        return padded

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | None, path: Path) -> Description:
        """Raises CheckpointError: not what `to_json` wrote."""
        if not text:
            raise CheckpointError(
                f"{path}: has no description of ours; only files that 'deeplab export' wrote can be segmented with"
            )
        try:
            values = json.loads(text)
            if values["format"] > FORMAT:
                raise CheckpointError(
                    f"{path}: written by a newer deeplab (format {values['format']}); upgrade deeplab"
                )
            values["classes"] = tuple(map(str, values["classes"]))
            values["palette"] = tuple((int(r), int(g), int(b)) for r, g, b in values["palette"])
            values["padding"] = tuple(map(int, values["padding"]))
            values["fixed_size"] = values["fixed_size"] and tuple(map(int, values["fixed_size"]))
            found = cls(**values)
            found._check()
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            if isinstance(error, CheckpointError):
                raise
            raise CheckpointError(
                f"{path}: its description does not hold together ({type(error).__name__}: {error}); export it again"
            ) from error
        return found

    def _check(self) -> None:
        """Raise ValueError unless each value, as JSON has it, is one that can be worked with."""
        height, width = self.fixed_size or (1, 1)
        lengths = {"stride": self.stride, "fixed_size": min(height, width)}
        if self.long_side is not None:
            lengths["long_side"] = self.long_side
        for name, length in lengths.items():
            if type(length) is not int or length < 1:
                raise ValueError(f"{name} wants whole numbers of at least 1, got {getattr(self, name)!r}")
        if not isinstance(self.align_corners, bool):
            raise ValueError(f"align_corners wants true or false, got {self.align_corners!r}")
        red, green, blue = self.padding
        bands = itertools.chain((red, green, blue), *self.palette)
        if wrong := [band for band in bands if not 0 <= band <= 255]:
            raise ValueError(f"colours want values in 0..255, got {wrong[0]}")
        if len(self.classes) != len(self.palette) or not self.classes:
            raise ValueError(f"{len(self.classes)} classes, {len(self.palette)} colours")


class EngineNetwork:
    """Shows images to an engine: one by one and padded where it takes one size only.

    Args:
        run_both: Of a file that has a label map inside, which is for others: ours is made of the logits.
    """

    def __init__(
        self,
        run: Run,
        description: Description,
        *,
        engine: str,
        path: Path | None = None,
        device: str = "cpu",
        run_both: RunBoth | None = None,
    ) -> None:
        self.run, self.description, self.path, self.device = run, description, path, device
        self.run_both = run_both
        self.name = f"{description.model} in {engine}"
        self.align_corners, self.fixed_size = description.align_corners, description.fixed_size

    def coarse_logits(self, images: NDArray[np.uint8], /) -> NDArray[np.float32]:
        """uint8 (N, H, W, 3) RGB -> logits float32 (N, num_classes, h, w)."""
        if self.fixed_size is None:
            return self.run(images)
        return np.concatenate([self.run(self.description.padded(image)) for image in images])

    def grid_size(self, size: tuple[int, int], /) -> tuple[int, int]:
        """The (height, width) that the logits of an image of `size`, their top left, spread over."""
        return self.description.grid_size(size)

    def fingerprint(self) -> bytes:
        """What tells it from any network that computes something else."""
        found = hashlib.sha256(self.description.to_json().encode())
        if self.path is not None:
            weights_of_openvino, within_core_ml = self.path.with_suffix(".bin"), sorted(self.path.rglob("*"))
            for file in (self.path, weights_of_openvino, *within_core_ml):
                found.update(file.read_bytes() if file.is_file() else b"")
        return found.digest()


@dataclass(frozen=True, eq=False)
class Exported:
    """A network of an engine, with all that is needed to use it; `deeplab.load` makes a segmenter of it."""

    network: EngineNetwork

    @property
    def classes(self) -> tuple[str, ...]:
        return self.network.description.classes

    @property
    def palette(self) -> NDArray[np.uint8]:
        """(num_classes, 3), RGB."""
        return np.array(self.network.description.palette, np.uint8)

    @property
    def long_side(self) -> int | None:
        """Pixels to which the image's longer side is scaled first."""
        return self.network.description.long_side


def threads() -> int:
    """What OMP_NUM_THREADS asks for, as of torch; 0: as many as there are cores."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return int(wanted) if wanted.isdigit() else 0


def own_version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # longer to load than to segment a small image

    try:
        return version("deeplab")
    except PackageNotFoundError:  # run from its sources
        return ""


def reason(error: Exception) -> str:
    """What an engine says, on a line that is not too long."""
    return " ".join(str(error).split())[:160]


def incomplete(path: Path, what: str, error: Exception) -> CheckpointError:
    """The error for a file that its engine does not open; `what` it should be."""
    return CheckpointError(f"{path}: not a complete {what} ({reason(error)}); copy or export it again")


def check_shape(path: Path, description: Description, image: Any, logits: Any) -> None:
    """Raise CheckpointError unless these are the shapes of our input and output; dimensions of any size are no ints."""
    size = [length if isinstance(length, int) else None for length in list(image)[1:3]]
    wanted = list(description.fixed_size or (None, None))
    if list(image)[-1:] != [3] or len(image) != 4 or size != wanted or list(logits)[1:2] != [len(description.classes)]:
        height, width = description.fixed_size or ("H", "W")
        raise CheckpointError(
            f"{path}: takes {_shape(image)} and gives {_shape(logits)}, where (N, {height}, {width}, 3) and "
            f"(N, {len(description.classes)}, h, w) belong to its description; export it again"
        )


def _shape(shape: Any) -> str:
    return f"({', '.join(str(length) if isinstance(length, int) else 'any' for length in shape)})"
