"""What an evaluation found."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeplab import metrics

__all__ = ["Report"]


@dataclass(frozen=True, eq=False)
class Report:
    """Figures of one model on one split, of all its pixels together, each image at its own size.

    Figures are in 0 .. 1; nan, in `iou` None, where there is nothing to measure on.
    """

    classes: tuple[str, ...]
    confusion: NDArray[np.int64]
    """Pixels by (true class, predicted class), (num_classes, num_classes)."""
    images: int
    """Number of images."""

    def __repr__(self) -> str:
        return f"Report({self.images} images, mIoU {self.miou:.3f}, pixel accuracy {self.pixel_accuracy:.3f})"

    @property
    def miou(self) -> float:
        """Mean IoU over the classes that occur in truth or prediction."""
        return metrics.miou(self.confusion)

    @property
    def pixel_accuracy(self) -> float:
        """Share of pixels that are right."""
        return metrics.pixel_accuracy(self.confusion)

    @property
    def mean_accuracy(self) -> float:
        """Mean over the classes in the truth of the share of their pixels that are right."""
        return metrics.mean_accuracy(self.confusion)

    @property
    def iou(self) -> dict[str, float | None]:
        """IoU by class; None where the class occurs in neither truth nor prediction."""
        return dict(zip(self.classes, map(_or_none, metrics.iou(self.confusion)), strict=True))

    @property
    def pixels(self) -> dict[str, int]:
        """True pixels by class."""
        return dict(zip(self.classes, self.confusion.sum(axis=1).tolist(), strict=True))

    def to_json(self) -> str:
        """One line: miou, pixel_accuracy, mean_accuracy, iou and pixels by class, images; nan is null."""
        figures = {
            "miou": _or_none(self.miou),
            "pixel_accuracy": _or_none(self.pixel_accuracy),
            "mean_accuracy": _or_none(self.mean_accuracy),
            "iou": self.iou,
            "pixels": self.pixels,
            "images": self.images,
        }
        return json.dumps(figures, ensure_ascii=False)


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
