"""Images of another size, or turned."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["mirrored", "resize_image", "resize_labels", "size_at", "turn_upright"]


def resize_image(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize uint8 (H, W, 3) to `size` = (height, width), bilinear, antialiased where it shrinks."""
    height, width = size
    if image.shape[:2] == (height, width):
        return image
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def resize_labels(labels: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Resize (H, W) to `size` = (height, width) by the nearest pixel, so that no new label appears."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(size, labels.shape, strict=True)
    )
    return labels[np.ix_(rows, columns)]


def mirrored(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The top left `size` = (height, width) of uint8 (H, W, 3) that goes on in its mirror images, so that a larger
    picture is as rich as a smaller one."""
    height, width = size
    rows, columns = (max(0, wanted - there) for wanted, there in zip(size, image.shape[:2], strict=True))
    return np.pad(image, ((0, rows), (0, columns), (0, 0)), mode="symmetric")[:height, :width].copy()


def size_at(long_side: int | None, size: tuple[int, ...]) -> tuple[int, int]:
    """The (height, width) of an image of `size` scaled to `long_side`, up or down; None: as it is."""
    height, width = size
    factor = 1.0 if long_side is None else long_side / max(height, width)
    return max(1, round(height * factor)), max(1, round(width * factor))


def turn_upright(values: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Pixels (H, W) or (H, W, bands) as stored -> upright, by their EXIF orientation."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return values[::rows, ::columns]
