"""The colours of label maps and of figures between 0 and 1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["IGNORE_COLOR", "all_colors", "color_map", "colorize", "heat"]

IGNORE_COLOR = (224, 224, 192)
"""PASCAL VOC's colour of the label 255, the cream round its objects."""

HEAT = ((10, 8, 30), (110, 20, 90), (205, 55, 60), (250, 150, 45), (252, 245, 190))
"""The colours of `heat`; each is lighter than the one before, also to eyes that tell few colours apart."""


def color_map(num_classes: int) -> NDArray[np.uint8]:
    """PASCAL VOC's colours, uint8 (num_classes, 3).

    The bits of the class number, lowest first, go in turn to red, green and blue, and there to the highest
    bit that is free.
    """
    numbers = np.arange(num_classes)
    colors = np.zeros((num_classes, 3), dtype=np.uint8)
    for place in range(8):
        for band in range(3):
            colors[:, band] |= ((numbers >> (3 * place + band) & 1) << (7 - place)).astype(np.uint8)
    return colors


def all_colors(palette: NDArray[np.uint8], *, count: int) -> NDArray[np.uint8]:
    """The palette with a colour for each of `count` labels."""
    colors = np.zeros((count, 3), dtype=np.uint8)
    colors[[255, -1]] = IGNORE_COLOR
    colors[: len(palette)] = palette[:count]
    return colors


def colorize(labels: NDArray[np.uint8 | np.uint16], palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The colours of a label map, uint8 (H, W, 3).

    The labels 255 and 65535, where they are no classes, are ignored pixels and become cream (`IGNORE_COLOR`);
    any other label without a class becomes black.

    Args:
        labels: uint8 or uint16 (H, W).
        palette: uint8 (num_classes, 3).
    """
    colors: NDArray[np.uint8] = all_colors(palette, count=np.iinfo(labels.dtype).max + 1)[labels]
    return colors


def heat(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The colours of values 0 .. 1, (H, W): from near black over red and orange to pale yellow, uint8 (H, W, 3)."""
    steps = np.linspace(0, 1, len(HEAT))
    bands = [np.interp(values, steps, band) for band in np.array(HEAT).T]
    colors: NDArray[np.uint8] = np.rint(np.stack(bands, axis=-1)).astype(np.uint8)
    return colors
