"""Two models on the same images: by how much they differ, and whether the images can tell."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeplab import metrics
from deeplab.errors import DataError
from deeplab.evaluation.report import FIGURES, Report, figures
from deeplab.metrics import Areas, Interval

__all__ = ["Comparison"]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Reports of two models on the same images; a difference is the second's figure less the first's."""

    first: Report
    second: Report

    def __post_init__(self) -> None:
        if (self.first.names, self.first.classes) != (self.second.names, self.second.classes):
            raise DataError("the two reports are of other images or classes; measure both models on the same")

    @property
    def differences(self) -> dict[str, Interval]:
        """Of the figures, with 95 % intervals over images (paired bootstrap)."""
        return dict(zip(FIGURES, self._intervals, strict=False))

    @property
    def iou_differences(self) -> dict[str, Interval]:
        """Of the IoU of each class; nan where the class occurs for neither."""
        return dict(zip(self.first.classes, self._intervals[len(FIGURES) :], strict=True))

    def by_image(self) -> NDArray[np.float64]:
        """The difference in pixel accuracy of each image, (images,); nan where all its pixels are ignored."""
        pairs = zip(self.first.areas, self.second.areas, strict=True)
        accuracy = metrics.pixel_accuracy
        return np.array([accuracy(Areas(*after)) - accuracy(Areas(*before)) for before, after in pairs], np.float64)

    def verdict(self, names: tuple[str, str]) -> str:
        """What the images say of the two models, in a sentence."""
        value, low, high = self.differences["miou"]
        if math.isnan(value):
            return "every pixel of the masks is to be ignored, so that nothing was compared; take other images"
        if math.isnan(low):
            return "one image tells nothing of others; compare on more"
        better, worse = names if value < 0 else names[::-1]
        ends = sorted((abs(low), abs(high)))
        if low <= 0 <= high:
            return f"these images do not tell which is better: mIoU {value:+.4f}, 95 % {low:+.4f} .. {high:+.4f}"
        return f"{better} is better than {worse}: by {abs(value):.4f} mIoU, 95 % {ends[0]:.4f} .. {ends[1]:.4f}"

    def to_json(self) -> str:
        """One line: both reports, the differences and their intervals; nan is null."""
        found: dict[str, Any] = {"first": json.loads(self.first.to_json()), "second": json.loads(self.second.to_json())}
        for name, intervals in (("differences", self.differences), ("iou_differences", self.iou_differences)):
            found[name] = {
                key: [None if math.isnan(number) else number for number in interval]
                for key, interval in intervals.items()
            }
        return json.dumps(found, ensure_ascii=False)

    @cached_property
    def _intervals(self) -> list[Interval]:
        """In the order of `figures`."""
        return metrics.paired_differences(self.first.areas, self.second.areas, figures)
