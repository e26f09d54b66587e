"""A segmenter over a split of a data set, image by image at full size; only counts are kept, a few for each image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeplab._words import number_of
from deeplab.data import DataSet, Sample, load_sample
from deeplab.errors import DataError, SettingsError
from deeplab.evaluation.report import TRIMAP_WIDTHS, Boundaries, ObjectSizes, Report
from deeplab.inference import Segmenter, read_ahead
from deeplab.metrics import (
    OBJECT_SIZES,
    Areas,
    boundary_f_score,
    boundary_iou,
    calibration_counts,
    confusion_matrix,
    object_counts,
    trimap_confusion,
)
from deeplab.metrics.calibration import BINS
from deeplab.results import Segmentation

__all__ = ["check_classes", "check_masks", "check_same_classes", "evaluate"]


def evaluate(
    segmenter: Segmenter,
    dataset: DataSet,
    *,
    split: str = "val",
    limit: int | None = None,
    boundaries: bool = False,
    calibration: bool = False,
    on_image: Callable[[Sample, NDArray[Any]], None] | None = None,
) -> Report:
    """Predict every image of the split at its own size and count its pixels.

    Args:
        limit: Only the first so many images; None: all.
        boundaries: Measure how well borders are met, too.
        calibration: Measure how far the probabilities can be believed, too.
        on_image: Called after each image with its sample and the predicted labels, (H, W).

    Raises:
        DataError: The split has no images or images without masks, the classes are not those of the model, or
            a label is out of range.
        ImageError: A file cannot be read.
    """
    samples = dataset.split(split)[:limit]
    check_classes(segmenter.classes, dataset)
    check_masks(samples, split)
    tally = _Tally(dataset, boundaries=boundaries, calibration=calibration)
    for sample, reading in read_ahead(partial(load_sample, dataset=dataset), samples):
        image, target = reading.result()
        result = segmenter(image)
        tally.add(result, target)
        if on_image is not None:
            on_image(sample, result.labels)
    return tally.report(tuple(sample.image.name for sample in samples))


class _Tally:
    """The counts of a data set, as one image after the other is added."""

    def __init__(self, dataset: DataSet, *, boundaries: bool, calibration: bool) -> None:
        self.classes = dataset.classes
        self.counted = {"num_classes": len(dataset.classes), "ignore_index": dataset.ignore_index}
        self.confusion = np.zeros((len(dataset.classes),) * 2, np.int64)
        self.areas: list[Areas] = []
        self.objects: list[NDArray[np.int64]] = []
        self.objects_by_class = np.zeros((len(dataset.classes), len(OBJECT_SIZES), 3), np.int64)
        self.borders: list[tuple[NDArray[np.float64], NDArray[np.float64]]] | None = [] if boundaries else None
        self.trimaps = np.zeros((len(TRIMAP_WIDTHS), *self.confusion.shape), np.int64)
        self.calibration: NDArray[np.float64] | None = np.zeros((BINS, 3)) if calibration else None

    def add(self, result: Segmentation, target: NDArray[Any]) -> None:
        labels = result.labels
        confusion = confusion_matrix(labels, target, **self.counted)
        self.confusion += confusion
        self.areas.append(Areas.of(confusion))
        objects = object_counts(labels, target, **self.counted)
        self.objects.append(objects.sum(axis=0))
        self.objects_by_class += objects
        if self.borders is not None:
            self.borders.append(
                (boundary_f_score(labels, target, **self.counted), boundary_iou(labels, target, **self.counted))
            )
            self.trimaps += trimap_confusion(labels, target, **self.counted, widths=TRIMAP_WIDTHS)
        if self.calibration is not None:
            ignore_index = self.counted["ignore_index"]
            self.calibration += calibration_counts(result.probabilities, target, ignore_index=ignore_index)

    def report(self, names: tuple[str, ...]) -> Report:
        boundaries = None
        if self.borders is not None:
            f_score, iou = map(np.stack, zip(*self.borders, strict=True))
            boundaries = Boundaries(f_score, iou, self.trimaps)
        objects = ObjectSizes(np.array(self.objects), self.objects_by_class)
        return Report(self.classes, self.confusion, names, np.array(self.areas), objects, boundaries, self.calibration)


def check_classes(classes: tuple[str, ...], dataset: DataSet) -> None:
    """A label means the same to the model and to the masks, or DataError."""
    if classes != dataset.classes:
        what = _difference(classes, dataset.classes, "the model")
        raise DataError(f"{dataset.root}: {what}; {_way_out(classes, dataset)}")


def check_same_classes(models: Mapping[str, tuple[str, ...]]) -> None:
    """Two models, by name, have the same classes in the same order, or SettingsError."""
    (model, classes), (other, others) = models.items()
    if classes != others:
        what = _difference(classes, others, model)
        raise SettingsError(f"{other}: {what}; two models are compared on all classes of both: take two with the same")


def _difference(classes: tuple[str, ...], here: tuple[str, ...], model: str) -> str:
    """How the classes `here` differ from those of the model."""
    if len(classes) != len(here):
        return f"has {number_of(len(here), 'class', 'classes')} and {model} {len(classes)}"
    index = next(index for index, pair in enumerate(zip(classes, here, strict=True)) if pair[0] != pair[1])
    return f"label {index} is '{here[index]}' here and '{classes[index]}' in {model}"


def _way_out(classes: tuple[str, ...], dataset: DataSet) -> str:
    """How the classes of `dataset` become those of the model, where that can be."""
    if set(classes) <= set(dataset.classes):
        rest = "" if len(classes) == len(dataset.classes) else ", without the others"
        take, entries = f"take them as the model has them{rest}", ", ".join(classes)
        if any(olds != (name,) for name, olds in dataset.groups.items()):
            return f"{take}: the entries of --classes in the order {entries}"
        for name in classes:
            if name == "*" or "=" in name or "|" in name:
                return f"--classes cannot name '{name}', where *, = and | mean something; take a model of other names"
        if any("," in name for name in classes):
            return f"{take}; as names have commas, by classes={list(classes)} in Python"
        return f'{take}: --classes "{entries}"'
    if len(classes) > len(dataset.classes):
        return (
            "a model is measured on all of its classes, and --classes changes those of the data only; "
            "take a model that was trained on these"
        )
    if len(classes) < len(dataset.classes):
        return "evaluate a model that was trained on these classes, or merge, rename and drop some by --classes"
    return (
        "name the classes as the model does if they mean the same ('deeplab convert --classes' names those of a "
        "checkpoint), or take another model"
    )


def check_masks(samples: Sequence[Sample], split: str) -> None:
    """Every sample has a mask, or DataError."""
    bare = [sample.image for sample in samples if sample.mask is None]
    if bare:
        raise DataError(
            f"{bare[0]}: no mask, as for {len(bare)} of the {len(samples)} images in split '{split}'; "
            "take a split with masks"
        )
