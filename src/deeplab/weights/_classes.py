"""What the classes of published models are called, by their number."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deeplab.data.label_sets import ADE20K, CITYSCAPES, CITYSCAPES_PALETTE, COCO_STUFF, VOC
from deeplab.images import color_map

NAMES = {19: CITYSCAPES, 21: VOC, 150: ADE20K, 151: ("unlabelled", *ADE20K), 182: COCO_STUFF}
"""By their number; the official code's models of ADE20K have a class 0 for what is not labelled."""

TITLES = {19: "Cityscapes", 21: "PASCAL VOC", 150: "ADE20K", 151: "ADE20K", 182: "COCO-Stuff"}

OF_ONE_LOGIT = ("background", "object")
"""Of a model whose one logit says how likely something is there, by the sigmoid."""


def names_of(num_classes: int) -> tuple[str, ...]:
    """Those of PASCAL VOC for 21, Cityscapes for 19, ADE20K for 150 and 151, COCO-Stuff for 182; else "class 0" ..."""
    return NAMES.get(num_classes) or tuple(f"class {index}" for index in range(num_classes))


def palette_of(num_classes: int) -> NDArray[np.uint8]:
    """The colours that go with `names_of`, uint8 (num_classes, 3)."""
    return CITYSCAPES_PALETTE if num_classes == 19 else color_map(num_classes)


def assumed_names(classes: tuple[str, ...]) -> str | None:
    """Whose names these are, where `names_of` gave them for no more than their number; None: nobody's."""
    if classes == OF_ONE_LOGIT:
        return "one logit"
    return TITLES.get(len(classes)) if classes == NAMES.get(len(classes)) else None
