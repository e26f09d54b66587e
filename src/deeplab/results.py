"""What a segmentation gives: the class of every pixel, and what people do with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deeplab.errors import SettingsError, unknown_name
from deeplab.images import as_pillow, colorize, write_labels

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Segmentation"]

BACKGROUND = "background"

STRIP = 256
"""Rows that are tinted at a time: as floats, a large photo would take gigabytes."""

LINE_LIGHTNESS = 0.7
"""How far a border's line is from its class's colour towards white: seen on dark and on pale photos alike."""


@dataclass(frozen=True, eq=False, repr=False)
class Segmentation:
    """The classes of one image's pixels.

    Shape: labels uint8 or uint16 (H, W), palette uint8 (num_classes, 3), image uint8 (H, W, 3) RGB, upright.
    """

    labels: NDArray[np.uint8 | np.uint16]
    classes: tuple[str, ...]
    palette: NDArray[np.uint8]
    image: NDArray[np.uint8]
    compute_probabilities: Callable[[], NDArray[np.float32]]
    compute_confidence: Callable[[], NDArray[np.float32]] | None = None
    """A way to it without all probabilities, where there is one."""

    @cached_property
    def probabilities(self) -> NDArray[np.float32]:
        """float32 (num_classes, H, W), each pixel's sum 1; computed when first asked for, then kept."""
        return self.compute_probabilities()

    @cached_property
    def confidence(self) -> NDArray[np.float32]:
        """float32 (H, W), the probability of each pixel's class, 0..1; computed when first asked for, then kept."""
        if self.compute_confidence is not None:
            return self.compute_confidence()
        highest: NDArray[np.float32] = self.probabilities.max(axis=0)
        return highest

    def save(self, path: str | Path) -> None:
        """Write the labels as PNG: the class index of every pixel, shown in the palette's colours.

        Raises:
            OutputError: Another suffix than .png, or the file cannot be written.
        """
        write_labels(path, self.labels, palette=self.palette)

    def overlay(self, *, opacity: float = 0.6) -> Image.Image:
        """The image tinted in the classes' colours, with light lines along borders.

        Where the first class is `background`, its pixels stay as they are.

        Args:
            opacity: Of the tint, from 0 (only the lines show) to 1 (the image is hidden).

        Raises:
            SettingsError: An opacity outside 0..1.
        """
        if not 0 <= opacity <= 1:
            raise SettingsError(f"opacity goes from 0 to 1; came {opacity}")
        borders = _borders(self.labels)
        tinted = np.empty_like(self.image)
        for start in range(0, len(tinted), STRIP):
            rows = slice(start, start + STRIP)
            tinted[rows] = self._tinted(rows, borders[rows], opacity)
        return as_pillow(tinted)

    def areas(self) -> dict[str, float]:
        """The share of the pixels, 0..1, of every class that is present, largest first."""
        counts = np.bincount(self.labels.ravel(), minlength=len(self.classes))[: len(self.classes)]
        order = np.argsort(-counts, kind="stable")
        return {self.classes[i]: int(counts[i]) / self.labels.size for i in order if counts[i]}

    def mask(self, name: str) -> NDArray[np.bool_]:
        """Where the class `name` is, bool (H, W).

        Raises:
            UnknownNameError: No such class.
        """
        if name not in self.classes:
            raise unknown_name("class", name, self.classes)
        return np.equal(self.labels, self.classes.index(name))

    def _tinted(self, rows: slice, borders: NDArray[np.bool_], opacity: float) -> NDArray[np.uint8]:
        """Some `rows` of the overlay, (rows, W, 3); `borders` are theirs."""
        image, labels = self.image[rows], self.labels[rows]
        share = np.where(borders, np.float32(1), np.float32(opacity))
        if self.classes[0] == BACKGROUND:
            share[labels == 0] = 0
        colors = colorize(labels, self.palette).astype(np.float32)
        colors[borders] += (255 - colors[borders]) * LINE_LIGHTNESS
        return np.rint(image + (colors - image) * share[..., np.newaxis]).astype(np.uint8)

    def __repr__(self) -> str:
        height, width = self.labels.shape
        areas = ", ".join(f"{name} {share:.1%}" for name, share in self.areas().items())
        return f"<Segmentation {height} x {width}: {areas}>"


def _borders(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels within a line's width of another class, about a 300th of the image's short side."""
    width = max(1, round(min(labels.shape) / 300))
    near = np.zeros(labels.shape, dtype=np.bool_)
    for step in range(1, width + 1):
        down, right = labels[step:] != labels[:-step], labels[:, step:] != labels[:, :-step]
        near[step:] |= down
        near[:-step] |= down
        near[:, step:] |= right
        near[:, :-step] |= right
    return near
