"""How much of small and of large objects is found: the share of their pixels that are right, by their size.

An object is a connected part of one class in the truth; pixels touch at an edge or a corner. So things of one class
that touch are one object, and what lies behind something else may be several. Ignored pixels are in none.

The counts add up over images, so that a data set is measured one image at a time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deeplab.kernels.label_map import OCTAVES, connected_parts
from deeplab.metrics.confusion import check_labels, ratio

__all__ = ["OBJECT_SIZES", "object_counts", "object_recall"]

OBJECT_SIZES = tuple((2**step, 2 ** (step + 1)) for step in range(OCTAVES // 2))
"""From and below, in pixels, the side of a square of the object's area. COCO's small, medium and large objects meet at
32 and 96."""


def object_counts(
    labels: NDArray[np.integer], target: NDArray[np.integer], *, num_classes: int, ignore_index: int = 255
) -> NDArray[np.int64]:
    """Count the objects of one image and their pixels by class and size.

    Args:
        labels: Predicted classes, integer (H, W), values 0 .. num_classes - 1.
        target: True classes, same shape; pixels equal to `ignore_index` are in no object.

    Returns:
        int64 (num_classes, len(OBJECT_SIZES), 3): objects, their pixels, and how many of these are right.

    Raises:
        DataError: As `confusion_matrix`.
    """
    check_labels(labels, target, num_classes=num_classes, ignore_index=ignore_index)
    parts = connected_parts(target)
    right = np.bincount(parts.of_pixel[labels == target], minlength=len(parts.labels))
    counted = parts.labels != ignore_index
    size = np.log2(parts.pixels[counted]).astype(np.int64) // 2  # a side doubles where an area is four times as large
    counts = np.zeros((num_classes, len(OBJECT_SIZES), 3), np.int64)
    of_object = np.stack([np.ones_like(size), parts.pixels[counted], right[counted]], axis=1)
    np.add.at(counts, (parts.labels[counted], size), of_object)
    return counts


def object_recall(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """The share of the pixels that are right, 0 .. 1, (..., 3) -> (...); nan where there is no object."""
    return ratio(counts[..., 2], counts[..., 1])
