"""How well borders are met: boundary F-score, boundary IoU, and mIoU in bands around the borders.

- The boundary F-score, Csurka, Larlus, Perronnin, What is a good evaluation measure for semantic segmentation?, BMVC
  2013: contour pixels within a tolerance of the other contour, by class and image.
- Boundary IoU, Cheng et al., CVPR 2021 (arXiv:2103.16562): IoU of the pixels of a class that are near its contour.
- Trimaps, Kraehenbuehl and Koltun, NIPS 2011 (arXiv:1210.5644), after Kohli et al., IJCV 2009; Fig. 5 of DeepLab v1
  (arXiv:1412.7062), Fig. 10 of v2 (arXiv:1606.00915): the pixels near the true borders, for bands of several widths.

All give counts that add up over images, so that a data set is measured one image at a time. One rule for what is not
there: an ignored pixel is of no class, in the truth and in the prediction alike, so that a class ends there in both,
and it does not count itself. A class without a contour in truth and prediction is left out; with a contour in one of
them only its figure is 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from deeplab.metrics.confusion import check_labels, confusion_matrix, mean, ratio

__all__ = ["boundary_f_score", "boundary_iou", "class_ratios", "mean_class_ratio", "trimap_confusion"]

Labels: TypeAlias = NDArray[np.integer]

NO_CLASS = np.int32(-1)
"""The label of ignored pixels while borders are looked for."""

FAR = np.int32(30_000)
"""Pixels: farther than a border is looked for; its square is an int32."""

NOWHERE = np.int32(2**30)
"""A row that is farther than that from every row of an image."""


def class_ratios(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """The figure of each class from counts (num_classes, 2) of an image, or of many added up; nan where none."""
    return ratio(counts[:, 0], counts[:, 1])


def mean_class_ratio(counts: NDArray[np.float64]) -> float:
    """The mean of `class_ratios` over the classes that have one; nan where none has."""
    return mean(class_ratios(counts))


def boundary_f_score(
    labels: Labels, target: Labels, *, num_classes: int, ignore_index: int = 255, tolerance: float = 0.0075
) -> NDArray[np.float64]:
    """The F-score of the contours of each class in one image.

    Precision is the share of the predicted contour's pixels that are nearer to the true contour than the tolerance,
    recall the reverse. A contour pixel has a neighbour, of four, of another class; the border of the image is none.
    Added up over images, each class is the mean over the images where it has a contour; the paper's mean is over the
    classes of an image first.

    Args:
        labels: Predicted classes, integer (H, W), values 0 .. num_classes - 1.
        target: True classes, same shape; `ignore_index` as above.
        tolerance: In diagonals of the image; 0.0075 is the paper's.

    Returns:
        float64 (num_classes, 2): the F-score and 1, or 0 and 0 without a contour; for `class_ratios`.

    Raises:
        DataError: As `confusion_matrix`.
    """
    labels, target = _without_ignored(labels, target, num_classes=num_classes, ignore_index=ignore_index)
    limit = tolerance * math.hypot(*target.shape)
    predicted, true = (np.where(_is_border(each), each, NO_CLASS) for each in (labels, target))
    ours, theirs = (_count(each, num_classes) for each in (predicted, true))
    precision = ratio(ours - _missed(predicted, true, limit=limit, num_classes=num_classes), ours)
    recall = ratio(theirs - _missed(true, predicted, limit=limit, num_classes=num_classes), theirs)
    score = np.nan_to_num(ratio(2 * precision * recall, precision + recall))
    return np.stack([score, ours + theirs > 0], axis=1)


def boundary_iou(
    labels: Labels, target: Labels, *, num_classes: int, ignore_index: int = 255, width: float = 0.02
) -> NDArray[np.float64]:
    """Intersection and union, for each class, of the pixels of the class that are near its contour.

    As in the authors' code, near is within a square around the pixel, and a class ends at the border of the image.

    Args:
        labels, target, ignore_index: As in `boundary_f_score`.
        width: Of the band inside of a contour, in diagonals of the image, at least one pixel; 0.02 is the
            paper's.

    Returns:
        float64 (num_classes, 2): pixels of the intersection and of the union; for `class_ratios`.

    Raises:
        DataError: As `confusion_matrix`.
    """
    labels, target = _without_ignored(labels, target, num_classes=num_classes, ignore_index=ignore_index)
    pixels = max(1, round(width * math.hypot(*target.shape)))
    # another label within a square of `pixels` is a border of 3 x 3 within one of `pixels` - 1
    predicted, true = (
        np.where(_grown(_is_border(each, diagonal=True, frame=True), by=pixels - 1), each, NO_CLASS)
        for each in (labels, target)
    )
    both, ours, theirs = (_count(each, num_classes) for each in (true[true == predicted], predicted, true))
    return np.stack([both, ours + theirs - both], axis=1).astype(np.float64)


def trimap_confusion(
    labels: Labels, target: Labels, *, num_classes: int, ignore_index: int = 255, widths: Sequence[float]
) -> NDArray[np.int64]:
    """Confusion matrices of the pixels near the true borders; their mIoU by width is the papers' curve.

    A band of width 1 is the pixels that have a neighbour, of four, of another class; the borders of ignored regions
    count, which on PASCAL VOC are the papers' bands around its "void" pixels.

    Args:
        labels, target, ignore_index: As in `boundary_f_score`.
        widths: Of the bands, to each side of a border, in pixels.

    Returns:
        int64 (len(widths), num_classes, num_classes), by (true class, predicted class).

    Raises:
        DataError: As `confusion_matrix`.
    """
    check_labels(labels, target, num_classes=num_classes, ignore_index=ignore_index)
    known = target != ignore_index
    distances = _distances(_is_border(target), at_most=max(widths))[known]
    count = partial(confusion_matrix, num_classes=num_classes, ignore_index=ignore_index)
    return np.stack([count(labels[known][distances < width], target[known][distances < width]) for width in widths])


def _without_ignored(labels: Labels, target: Labels, *, num_classes: int, ignore_index: int) -> tuple[Labels, Labels]:
    """Prediction and truth, with `NO_CLASS` where the truth is ignored."""
    check_labels(labels, target, num_classes=num_classes, ignore_index=ignore_index)
    known = target != ignore_index
    return np.where(known, labels, NO_CLASS), np.where(known, target, NO_CLASS)


def _is_border(labels: Labels, *, diagonal: bool = False, frame: bool = False) -> NDArray[np.bool_]:
    """Whether one of the four neighbours, with `diagonal` of the eight, has another label.

    Args:
        frame: Around the image is another label.
    """
    padded = np.pad(labels, 1, mode="constant", constant_values=NO_CLASS - 1) if frame else np.pad(labels, 1, "edge")
    height, width = labels.shape
    border = np.zeros(labels.shape, np.bool_)
    for down in range(3):
        for right in range(3):
            if diagonal or down == 1 or right == 1:
                border |= padded[down : down + height, right : right + width] != labels
    return border


def _grown(points: NDArray[np.bool_], *, by: int) -> NDArray[np.bool_]:
    """Whether there is a point in the square that reaches `by` pixels to each side."""
    for axis in range(2):
        along = np.pad(np.moveaxis(points, axis, 0), ((by + 1, by), (0, 0)))
        total = np.cumsum(along, axis=0, dtype=np.int32)
        points = np.moveaxis(total[2 * by + 1 :] > total[: -2 * by - 1], 0, axis)
    return points


def _missed(contours: Labels, others: Labels, *, limit: float, num_classes: int) -> NDArray[np.int64]:
    """By class, the contour pixels without one of their class in the others nearer than the limit, in pixels.

    It is looked for ever farther away, so that most pixels are soon done with.
    """
    reach = math.ceil(limit)
    padded = np.pad(others, reach, constant_values=NO_CLASS)
    row, column = np.nonzero(np.isin(contours, others) & (contours != NO_CLASS))
    classes, places = contours[row, column], np.ravel_multi_index((row + reach, column + reach), padded.shape)
    steps = np.arange(-reach, reach + 1)
    distances = np.hypot(steps[:, np.newaxis], steps)
    down, right = np.unravel_index(np.argsort(distances, axis=None)[: np.sum(distances < limit)], distances.shape)
    for step in (steps[down] * padded.shape[1] + steps[right]).tolist():
        missed = padded.ravel()[places + step] != classes
        classes, places = classes[missed], places[missed]
    return _count(classes, num_classes)


def _distances(points: NDArray[np.bool_], *, at_most: float) -> NDArray[np.float64]:
    """The distance in pixels to the nearest point, exact up to `at_most` and not less than that beyond, (H, W).

    First the nearest point of each column is found, then the nearest of the columns around.
    """
    rows = np.arange(len(points), dtype=np.int32)[:, np.newaxis]
    above = np.maximum.accumulate(np.where(points, rows, -NOWHERE), axis=0)
    below = np.minimum.accumulate(np.where(points, rows, NOWHERE)[::-1], axis=0)[::-1]
    in_column = np.minimum(np.minimum(rows - above, below - rows), FAR) ** 2
    nearest = in_column.copy()
    for step in range(1, min(math.ceil(at_most), points.shape[1] - 1) + 1):
        for there, here in ((slice(step, None), slice(None, -step)), (slice(None, -step), slice(step, None))):
            np.minimum(nearest[:, here], in_column[:, there] + np.int32(step**2), out=nearest[:, here])
    distances: NDArray[np.float64] = np.sqrt(nearest)
    return distances


def _count(labels: Labels, num_classes: int) -> NDArray[np.int64]:
    """Pixels by class, without those of no class."""
    return np.bincount(labels[labels != NO_CLASS], minlength=num_classes)
