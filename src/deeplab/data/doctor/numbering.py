"""How masks that do not hold class numbers were numbered, where all of them together make it clear."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from deeplab.data.doctor.diagnosis import Evidence
from deeplab.data.doctor.inspection import MaskFacts, is_ignored

__all__ = ["AS_IS", "BLACK_AND_WHITE", "Labels", "Numbering", "find_numbering", "only_0_and_255"]

Labels: TypeAlias = NDArray[np.uint8 | np.uint16]

CITYSCAPES_CLASSES, CITYSCAPES_IDS = 19, 34

CHANCE = 0.05
"""How likely labels that mean nothing may all lie where numbers spread over 0..255 do, for them to be taken for these;
of 64 classes, half of all labels lie there."""


@dataclass(frozen=True)
class Numbering:
    """A guess: what it is in words, the way out, and the repair."""

    name: str
    fix: str = ""
    renumbered: Callable[[Labels], Labels] | None = None
    """The labels of one mask as class numbers; None: they are that already, or nothing is clear."""


def _from_binary(labels: Labels) -> Labels:
    """0 and 255 as 0 and 1, what lies between them as 255."""
    return np.where(labels >= 192, np.uint8(1), np.where(labels < 64, np.uint8(0), np.uint8(255)))


def _from_spread(labels: Labels, *, step: float) -> Labels:
    return np.rint(labels / step).astype(np.uint8)


def _from_one(labels: Labels, *, num_classes: int) -> Labels:
    bits = 8 * labels.dtype.itemsize
    ignored = [label for label in (255, 65535) if is_ignored(label, num_classes=num_classes, bits=bits)]
    return np.where(np.isin(labels, ignored), labels, labels - 1)


AS_IS = Numbering("as is")

BLACK_AND_WHITE = Numbering("binary", renumbered=_from_binary)
"""The masks hold nothing but 0 and 255."""


def find_numbering(evidence: Evidence) -> Numbering:
    """The numbering of the masks as they are in the files; AS_IS where they hold class numbers or nothing is clear."""
    masks = [mask for _, mask in evidence.masks]
    num_classes = len(evidence.origin.classes)
    pixels: Counter[int] = Counter()
    counting: set[int] = set()  # labels, without those that are ignored
    for mask in masks:
        for part in mask.labels:
            pixels[part.label] += part.pixels
            if not is_ignored(part.label, num_classes=num_classes, bits=mask.bits):
                counting.add(part.label)
    if only_0_and_255(set(pixels)) and counting == {0}:
        return BLACK_AND_WHITE
    wrong = {label for label in counting if label >= num_classes}
    if not wrong:
        return AS_IS
    if counting <= set(range(1, num_classes + 1)):
        fix = "The classes are counted from 1: subtract 1; --fix does."
        return Numbering("from one", fix, partial(_from_one, num_classes=num_classes))
    if num_classes == 2 and _are_smoothed_edges(wrong, pixels):
        fix = "0 and 255 with smoothed edges: export the masks without smoothing, 1 for 255."
        return Numbering("binary", fix, _from_binary)
    if num_classes > 2 and all(mask.bits == 8 for mask in masks):
        step = 255 / (num_classes - 1)
        are_spread = all(abs(label - round(label / step) * step) < 1 for label in counting)
        if are_spread and (2 / step) ** len(wrong) < CHANCE:  # two numbers of every step are near one that is spread
            few = ", ".join(str(round(place * step)) for place in range(3))
            fix = f"The numbers are spread over 0..255, as in {few}: divide them by {step:.4g}; --fix does."
            return Numbering("spread", fix, partial(_from_spread, step=step))
    return Numbering("as is", _guess(counting, wrong, masks, num_classes))


def only_0_and_255(labels: set[int]) -> bool:
    """Whether a picture in black and white was saved as a mask."""
    return labels == {0, 255}


def _are_smoothed_edges(wrong: set[int], pixels: Counter[int]) -> bool:
    """Whether these labels lie along the borders of 0 and 255; a class 1 that is there has more pixels than strays."""
    flat, edges = pixels[0] + pixels[255], sum(pixels[label] for label in wrong)
    return 255 in pixels and max(pixels) == 255 and flat > 0.8 * pixels.total() and pixels[1] <= edges


def _guess(labels: set[int], wrong: set[int], masks: list[MaskFacts], num_classes: int) -> str:
    """What the labels are that are not ignored, where that is known but not how to repair them."""
    if wrong == {num_classes} and 0 in labels:
        return (
            f"Add the class of label {num_classes} to classes.txt; or, if 0 means unlabelled and the classes are "
            "counted from 1, as in ADE20K, write 255 for 0 and subtract 1 from the others."
        )
    if num_classes == CITYSCAPES_CLASSES and max(labels) < CITYSCAPES_IDS:
        return "These look like the labelIds of Cityscapes: take the files labelTrainIds."
    if max(labels) >= 1000 and all(label // 1000 < num_classes for label in labels):
        return "These look like objects, class * 1000 + number: divide by 1000."
    if len(wrong) > 2 and any(mask.wrong and mask.is_smoothed for mask in masks):
        return "Odd labels along borders come of smoothed edges: export the masks without smoothing."
    return ""
