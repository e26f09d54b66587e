"""How masks that do not hold class numbers were numbered, where all of them together make it clear."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeplab.data.doctor.diagnosis import Evidence
from deeplab.data.doctor.inspection import MaskFacts

__all__ = ["AS_IS", "Numbering", "find_numbering", "only_0_and_255"]

CITYSCAPES_CLASSES, CITYSCAPES_IDS = 19, 34

SPECKS = 2
"""An object of at most 3 pixels is of the octaves below this one."""


@dataclass(frozen=True)
class Numbering:
    """A guess: what it is in words, and the way out."""

    name: str
    fix: str = ""
    step: float = 0.0
    """Of numbers that are spread over 0..255."""

    def repaired(self, labels: NDArray[np.uint8 | np.uint16]) -> NDArray[np.uint8 | np.uint16]:
        """The labels of one mask as class numbers; of those that mean nothing, 255."""
        if self.name == "binary":
            return np.where(labels >= 192, np.uint8(1), np.where(labels < 64, np.uint8(0), np.uint8(255)))
        if self.name == "spread":
            return np.rint(labels / self.step).astype(np.uint8)
        if self.name == "from one":
            return np.where(labels == 255, labels, labels - 1)
        return labels


AS_IS = Numbering("as is")


def find_numbering(evidence: Evidence) -> Numbering:
    """The numbering of the masks as they are in the files; AS_IS where they hold class numbers or nothing is clear."""
    masks = [mask for _, mask in evidence.masks]
    num_classes = len(evidence.origin.classes)
    pixels: Counter[int] = Counter()
    for mask in masks:
        for part in mask.labels:
            pixels[part.label] += part.pixels
    labels = set(pixels)
    if only_0_and_255(labels):
        return Numbering("binary")
    wrong = {label for label in labels if label >= num_classes and label != 255}
    if not wrong:
        return AS_IS
    if num_classes == 2 and 255 in labels and pixels[0] + pixels[255] > 0.8 * pixels.total() and max(labels) == 255:
        return Numbering("binary", "0 and 255 with smoothed edges: export the masks without smoothing, 1 for 255.")
    step = 255 / max(1, num_classes - 1)
    if num_classes > 2 and all(abs(label - round(label / step) * step) <= 1 for label in labels):
        few = ", ".join(str(round(place * step)) for place in range(min(3, num_classes)))
        fix = f"The numbers are spread over 0..255, as in {few}: divide them by {step:.4g}; --fix does."
        return Numbering("spread", fix, step)
    if labels - {255} <= set(range(1, num_classes + 1)):
        return Numbering("from one", "The classes are counted from 1: subtract 1; --fix does.")
    return Numbering("as is", _guess(labels, wrong, masks, num_classes))


def only_0_and_255(labels: set[int]) -> bool:
    """Whether a picture in black and white was saved as a mask."""
    return 255 in labels and labels <= {0, 255}


def _guess(labels: set[int], wrong: set[int], masks: list[MaskFacts], num_classes: int) -> str:
    """What the labels are, where that is known but not how to repair them."""
    if wrong == {num_classes} and 0 in labels:
        return (
            f"Add the class of label {num_classes} to classes.txt; or, if 0 means unlabelled and the classes are "
            "counted from 1, as in ADE20K, write 255 for 0 and subtract 1 from the others."
        )
    if num_classes == CITYSCAPES_CLASSES and max(labels - {255}) < CITYSCAPES_IDS:
        return "These look like the labelIds of Cityscapes: take the files labelTrainIds."
    if max(labels) >= 1000 and all(label // 1000 < num_classes for label in labels if label != 65535):
        return "These look like objects, class * 1000 + number: divide by 1000."
    odd = [part for mask in masks for part in mask.labels if part.label in wrong]
    specks = sum(sum(part.objects[:SPECKS]) for part in odd)
    if len(wrong) > 2 and 2 * specks > sum(sum(part.objects) for part in odd):
        return "Odd labels in single pixels along borders come of smoothed edges: export the masks without smoothing."
    return ""
