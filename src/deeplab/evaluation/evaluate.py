"""A segmenter over a split of a data set, image by image at full size; only counts are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeplab.data import DataSet, Sample, load_sample
from deeplab.errors import DataError
from deeplab.evaluation.report import Report
from deeplab.inference import Segmenter, read_ahead
from deeplab.metrics import confusion_matrix

__all__ = ["evaluate"]


def evaluate(
    segmenter: Segmenter,
    dataset: DataSet,
    *,
    split: str = "val",
    limit: int | None = None,
    on_image: Callable[[Sample, NDArray[Any]], None] | None = None,
) -> Report:
    """Predict every image of the split at its own size and count its pixels.

    Args:
        limit: Only the first so many images; None: all.
        on_image: Called after each image with its sample and the predicted labels, (H, W).

    Raises:
        DataError: The split has no images or images without masks, the classes are not those of the model, or
            a label is out of range.
        ImageError: A file cannot be read.
    """
    samples = dataset.split(split)[:limit]
    check_classes(segmenter.classes, dataset)
    check_masks(samples, split)
    num_classes = len(dataset.classes)
    confusion = np.zeros((num_classes, num_classes), np.int64)
    for sample, reading in read_ahead(partial(load_sample, dataset=dataset), samples):
        image, target = reading.result()
        labels = segmenter.labels(image)
        confusion += confusion_matrix(labels, target, num_classes=num_classes, ignore_index=dataset.ignore_index)
        if on_image is not None:
            on_image(sample, labels)
    return Report(dataset.classes, confusion, images=len(samples))


def check_classes(classes: tuple[str, ...], dataset: DataSet) -> None:
    """A label means the same to the model and to the masks, or DataError."""
    if classes == dataset.classes:
        return
    if len(classes) != len(dataset.classes):
        raise DataError(
            f"{dataset.root}: has {len(dataset.classes)} classes and the model {len(classes)}; "
            "evaluate a model that was trained on these classes, or merge, rename and drop some by --classes"
        )
    index, ours, theirs = next(
        (index, *pair) for index, pair in enumerate(zip(classes, dataset.classes, strict=True)) if pair[0] != pair[1]
    )
    way_out = (
        "bring the classes and the masks into the model's order"
        if set(classes) == set(dataset.classes)
        else "name the classes as the model does if they mean the same, or take another model"
    )
    raise DataError(f"{dataset.root}: label {index} is '{theirs}' here and '{ours}' in the model; {way_out}")


def check_masks(samples: Sequence[Sample], split: str) -> None:
    """Every sample has a mask, or DataError."""
    bare = [sample.image for sample in samples if sample.mask is None]
    if bare:
        raise DataError(
            f"{bare[0]}: no mask, as for {len(bare)} of the {len(samples)} images in split '{split}'; "
            "take a split with masks"
        )
