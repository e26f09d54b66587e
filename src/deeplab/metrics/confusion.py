"""Confusion matrix, and what is read off it: IoU (PASCAL VOC's measure), Dice, pixel and mean accuracy.

Matrices of images add up to that of the data set; IoU is taken of the sum, not averaged over images. A class
that is in neither truth nor prediction is left out of the means; one that is only predicted has IoU 0, as in
the official TensorFlow code, torchmetrics, VainF and jfzhang95.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from deeplab.errors import DataError

__all__ = [
    "Areas",
    "confusion_matrix",
    "dice",
    "frequency_weighted_iou",
    "iou",
    "mean_accuracy",
    "mean_dice",
    "miou",
    "pixel_accuracy",
    "row_shares",
]


class Areas(NamedTuple):
    """What all figures are made of, int64 (num_classes,) each: small enough to be kept for each image of a data set."""

    right: NDArray[np.int64]
    """Pixels of the class that are predicted as it."""
    true: NDArray[np.int64]
    predicted: NDArray[np.int64]

    @classmethod
    def of(cls, counts: Counts) -> Areas:
        """From a confusion matrix; areas stay what they are."""
        if isinstance(counts, Areas):
            return counts
        return cls(counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0))


Counts: TypeAlias = NDArray[np.int64] | Areas
"""A confusion matrix (num_classes, num_classes), or the areas alone."""


def confusion_matrix(
    labels: NDArray[np.integer], target: NDArray[np.integer], *, num_classes: int, ignore_index: int = 255
) -> NDArray[np.int64]:
    """Count pixels by (true class, predicted class).

    Args:
        labels: Predicted classes, integer (..., H, W), values 0 .. num_classes - 1.
        target: True classes, same shape; pixels equal to `ignore_index` are not counted.

    Returns:
        int64 (num_classes, num_classes); its sum is the number of counted pixels.

    Raises:
        DataError: The shapes differ, or a counted label is not in 0 .. num_classes - 1.
    """
    true, predicted = check_labels(labels, target, num_classes=num_classes, ignore_index=ignore_index)
    cell = true.astype(np.int64)
    cell *= num_classes
    cell += predicted
    counts = np.bincount(cell, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes).astype(np.int64, copy=False)


def iou(counts: Counts) -> NDArray[np.float64]:
    """Intersection over union by class, float64 (num_classes,) in 0 .. 1; nan where a class never occurs."""
    right, true, predicted = Areas.of(counts)
    return ratio(right, true + predicted - right)


def miou(counts: Counts) -> float:
    """Mean IoU over the classes that occur in truth or prediction; nan where no pixel was counted."""
    return mean(iou(counts))


def frequency_weighted_iou(counts: Counts) -> float:
    """Mean IoU, each class weighed by its share of the true pixels; nan where no pixel was counted."""
    true = Areas.of(counts).true
    weighted = np.nan_to_num(iou(counts)) * true
    return float(ratio(weighted.sum(keepdims=True), true.sum(keepdims=True))[0])


def dice(counts: Counts) -> NDArray[np.float64]:
    """Dice's coefficient (F1 of the pixels) by class, float64 (num_classes,); nan where a class never occurs."""
    right, true, predicted = Areas.of(counts)
    return ratio(2 * right, true + predicted)


def mean_dice(counts: Counts) -> float:
    """Mean of `dice` over the classes that occur in truth or prediction; nan where no pixel was counted."""
    return mean(dice(counts))


def pixel_accuracy(counts: Counts) -> float:
    """Share of pixels that are right; nan where no pixel was counted."""
    areas = Areas.of(counts)
    return float(ratio(areas.right.sum(keepdims=True), areas.true.sum(keepdims=True))[0])


def mean_accuracy(counts: Counts) -> float:
    """Mean over the classes in the truth of the share of their pixels that are right."""
    areas = Areas.of(counts)
    return mean(ratio(areas.right, areas.true))


def row_shares(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    """What the pixels of each true class were predicted as, (num_classes, num_classes); nan in the row of an absent
    class."""
    return ratio(matrix, np.broadcast_to(matrix.sum(axis=1, keepdims=True), matrix.shape))


def check_labels(
    labels: NDArray[np.integer], target: NDArray[np.integer], *, num_classes: int, ignore_index: int
) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Refuse label maps that differ in shape or have, where the truth counts, a label outside 0 .. num_classes - 1.

    Returns:
        Truth and prediction of the pixels that count, (N,) each.
    """
    if labels.shape != target.shape:
        raise DataError(f"a prediction of shape {labels.shape} for a truth of shape {target.shape}; give equal ones")
    counted = target != ignore_index
    true, predicted = target[counted], labels[counted]
    for name, values in (("truth", true), ("prediction", predicted)):
        if values.size and not 0 <= values.min() <= values.max() < num_classes:
            wrong = values[(values < 0) | (values >= num_classes)][0]
            raise DataError(
                f"label {wrong} in the {name} is outside 0..{num_classes - 1} and where the truth is not "
                f"the ignore value {ignore_index}; correct the label or num_classes"
            )
    return true, predicted


def ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    """Part over whole, elementwise; nan where the whole is 0."""
    result = np.full(whole.shape, np.nan)
    np.divide(part, whole, out=result, where=whole > 0)
    return result


def mean(values: NDArray[np.float64]) -> float:
    """The mean of those that are not nan; nan where all are."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
