"""What an evaluation found."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deeplab import metrics
from deeplab.metrics import OBJECT_SIZES, Areas, Interval

__all__ = ["TRIMAP_WIDTHS", "Boundaries", "ObjectSize", "ObjectSizes", "Report", "figures"]

FIGURES = {
    "miou": metrics.miou,
    "pixel_accuracy": metrics.pixel_accuracy,
    "mean_accuracy": metrics.mean_accuracy,
    "frequency_weighted_iou": metrics.frequency_weighted_iou,
    "mean_dice": metrics.mean_dice,
}
"""By name, what is measured of all pixels together."""

TRIMAP_WIDTHS = (1, 2, 4, 8, 16, 32)
"""Pixels to each side of a border; the papers' curves go to 40."""


def figures(areas: NDArray[np.int64]) -> NDArray[np.float64]:
    """Those of `FIGURES`, then the IoU of each class, from areas (3, num_classes)."""
    counts = Areas(*areas)
    return np.concatenate([[figure(counts) for figure in FIGURES.values()], metrics.iou(counts)])


@dataclass(frozen=True, eq=False)
class Boundaries:
    """How well the borders were met."""

    f_score: NDArray[np.float64]
    """(images, num_classes, 2), of `metrics.boundary_f_score`."""
    iou: NDArray[np.float64]
    """(images, num_classes, 2), of `metrics.boundary_iou`."""
    trimaps: NDArray[np.int64]
    """(len(TRIMAP_WIDTHS), num_classes, num_classes), of all images."""

    @property
    def trimap_miou(self) -> dict[int, float]:
        """mIoU of the pixels so near to a true border, by the width of the band in pixels."""
        return {width: metrics.miou(matrix) for width, matrix in zip(TRIMAP_WIDTHS, self.trimaps, strict=True)}

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """Boundary F-score and boundary IoU, means over the classes, with 95 % intervals over images."""
        return {
            "boundary_f_score": metrics.interval(self.f_score, metrics.mean_class_ratio),
            "boundary_iou": metrics.interval(self.iou, metrics.mean_class_ratio),
        }


class ObjectSize(NamedTuple):
    """What was found of the objects of one size."""

    side: tuple[int, int]
    """From and below, in pixels, of a square of the object's area."""
    objects: int
    pixels: int
    recall: Interval
    """The share of these pixels that are right, with its 95 % interval over images."""
    recall_by_class: NDArray[np.float64]
    """(num_classes,); nan where a class has none."""


@dataclass(frozen=True, eq=False)
class ObjectSizes:
    """Counts of `metrics.object_counts`: objects, their pixels, how many of these are right."""

    by_image: NDArray[np.int64]
    """Of all classes, (images, len(OBJECT_SIZES), 3)."""
    by_class: NDArray[np.int64]
    """Of all images, (num_classes, len(OBJECT_SIZES), 3)."""

    @cached_property
    def found(self) -> list[ObjectSize]:
        """Of each size that occurs, from small to large."""
        recall = metrics.intervals(self.by_image, metrics.object_recall)
        by_class = metrics.object_recall(self.by_class)
        return [
            ObjectSize(OBJECT_SIZES[size], objects, pixels, recall[size], by_class[:, size])
            for size, (objects, pixels, _) in enumerate(self.by_class.sum(axis=0).tolist())
            if objects
        ]


@dataclass(frozen=True, eq=False)
class Report:
    """Figures of one model on one split, of all its pixels together, each image at its own size.

    Figures are in 0 .. 1; nan, in `iou` None, where there is nothing to measure on. A class that is in neither truth
    nor prediction is left out of the means; one that is only predicted counts as 0.
    """

    classes: tuple[str, ...]
    confusion: NDArray[np.int64]
    """Pixels by (true class, predicted class), (num_classes, num_classes)."""
    names: tuple[str, ...]
    """Of the images."""
    areas: NDArray[np.int64]
    """Right, true and predicted pixels by image and class, (images, 3, num_classes)."""
    objects: ObjectSizes
    """What was found by the size of objects."""
    boundaries: Boundaries | None = None
    """Where asked for."""
    calibration: NDArray[np.float64] | None = None
    """Of `metrics.calibration_counts`, of all images, where asked for."""

    def __repr__(self) -> str:
        return f"Report({self.images} images, mIoU {self.miou:.3f}, pixel accuracy {self.pixel_accuracy:.3f})"

    @property
    def images(self) -> int:
        """Number of images."""
        return len(self.names)

    @property
    def miou(self) -> float:
        """Mean IoU over the classes that occur in truth or prediction."""
        return metrics.miou(self.confusion)

    @property
    def frequency_weighted_iou(self) -> float:
        """Mean IoU, each class weighed by its share of the true pixels."""
        return metrics.frequency_weighted_iou(self.confusion)

    @property
    def mean_dice(self) -> float:
        """Mean of Dice's coefficient over the classes that occur in truth or prediction."""
        return metrics.mean_dice(self.confusion)

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

    @property
    def calibration_error(self) -> float:
        """Expected calibration error; nan where it was not asked for."""
        return float("nan") if self.calibration is None else metrics.calibration_error(self.calibration)

    @property
    def intervals(self) -> dict[str, Interval]:
        """The figures with their 95 % intervals over images (bootstrap; see `deeplab.metrics.bootstrap`)."""
        of_areas = dict(zip(FIGURES, self._intervals, strict=False))
        return of_areas if self.boundaries is None else of_areas | self.boundaries.intervals

    @property
    def iou_intervals(self) -> dict[str, Interval]:
        """IoU by class with its 95 % interval over images; nan where there is nothing to measure on."""
        return dict(zip(self.classes, self._intervals[len(FIGURES) :], strict=True))

    def by_image(self) -> Iterator[tuple[str, float, float]]:
        """Of each image its name, its mIoU and its pixel accuracy; nan where all its pixels are ignored."""
        for name, areas in zip(self.names, self.areas, strict=True):
            yield name, metrics.miou(Areas(*areas)), metrics.pixel_accuracy(Areas(*areas))

    def to_csv(self) -> str:
        """A line for each image: its name, mIoU and pixel accuracy, and the IoU of each class; nothing for nan."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["image", "miou", "pixel_accuracy", *self.classes])
        for (name, *of_image), areas in zip(self.by_image(), self.areas, strict=True):
            found = [*of_image, *metrics.iou(Areas(*areas)).tolist()]
            table.writerow([name, *("" if math.isnan(value) else f"{value:.4f}" for value in found)])
        return text.getvalue()

    def to_json(self) -> str:
        """One line: the figures and their intervals; iou, its intervals and pixels by class; images; what was found by
        the size of objects; nan is null."""
        found: dict[str, Any] = {name: _or_none(figure(self.confusion)) for name, figure in FIGURES.items()}
        found |= {"iou": self.iou, "pixels": self.pixels, "images": self.images}
        if self.boundaries is not None:
            found |= {name: _or_none(each.value) for name, each in self.boundaries.intervals.items()}
            found["trimap_miou"] = {width: _or_none(value) for width, value in self.boundaries.trimap_miou.items()}
        if self.calibration is not None:
            found["calibration_error"] = _or_none(self.calibration_error)
        found["intervals"] = {name: _ends(each) for name, each in self.intervals.items()}
        found["object_sizes"] = [self._of_size(size) for size in self.objects.found]
        found["iou_intervals"] = {name: _ends(each) for name, each in self.iou_intervals.items()}
        return json.dumps(found, ensure_ascii=False)

    def _of_size(self, size: ObjectSize) -> dict[str, Any]:
        """As it stands in JSON."""
        return {
            "from": size.side[0],
            "below": size.side[1],
            "objects": size.objects,
            "pixels": size.pixels,
            "recall": _or_none(size.recall.value),
            "interval": _ends(size.recall),
            "recall_by_class": dict(zip(self.classes, map(_or_none, size.recall_by_class), strict=True)),
        }

    @cached_property
    def _intervals(self) -> list[Interval]:
        """In the order of `figures`."""
        return metrics.intervals(self.areas, figures)


def _ends(interval: Interval) -> tuple[float | None, float | None]:
    return _or_none(interval.low), _or_none(interval.high)


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
