"""What the classes of published models are called, by their number."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deeplab.images import color_map

CLASSES = {
    21: (
        "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
        "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
        "tvmonitor",
    ),
    19: (
        "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign",
        "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle",
        "bicycle",
    ),
}  # fmt: skip
"""By their number: PASCAL VOC, and the train ids of Cityscapes."""

CITYSCAPES_PALETTE = (
    (128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156), (190, 153, 153), (153, 153, 153),
    (250, 170, 30), (220, 220, 0), (107, 142, 35), (152, 251, 152), (70, 130, 180), (220, 20, 60),
    (255, 0, 0), (0, 0, 142), (0, 0, 70), (0, 60, 100), (0, 80, 100), (0, 0, 230), (119, 11, 32),
)  # fmt: skip


def names_of(num_classes: int) -> tuple[str, ...]:
    """PASCAL VOC's for 21, Cityscapes' for 19, else "class 0", "class 1" ..."""
    return CLASSES.get(num_classes, tuple(f"class {index}" for index in range(num_classes)))


def palette_of(num_classes: int) -> NDArray[np.uint8]:
    """The colours that go with `names_of`, uint8 (num_classes, 3)."""
    return np.array(CITYSCAPES_PALETTE, np.uint8) if num_classes == 19 else color_map(num_classes)
