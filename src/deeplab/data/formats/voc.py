"""PASCAL VOC (Everingham et al., IJCV 2010): JPEGImages, SegmentationClass, ImageSets/Segmentation/*.txt.

Each list is a split: train (1464 images), val (1449), trainval (2913), and trainaug (10582) with the images that
Hariharan et al. (ICCV 2011) labelled, whose masks lie in SegmentationClassAug. A line is the name of an image, or its
path and that of its mask, as in the lists of DeepLab v1 and v2. Masks are class indices, and the 255 round the
objects is ignored. CVAT exports this layout too, with masks in the colours of a labelmap.txt, in sub-folders where its
task has them, and with names in quotes that have spaces.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeplab.data.dataset import DataSet
from deeplab.data.formats._listing import (
    by_stem,
    find_image,
    images_in,
    named_splits,
    only_once,
    read_class_list,
    read_lines,
    refuse,
)
from deeplab.data.label_sets import VOC
from deeplab.data.sample import Sample
from deeplab.errors import DataError
from deeplab.images import color_map

__all__ = ["LAYOUT", "detect", "read"]

LAYOUT = "JPEGImages/*.jpg, SegmentationClass/*.png and ImageSets/Segmentation/*.txt"

MASKS, AUGMENTED = "SegmentationClass", "SegmentationClassAug"


def detect(root: Path) -> bool:
    """Whether `root` has a folder of VOC's masks."""
    return (root / MASKS).is_dir() or (root / AUGMENTED).is_dir()


def read(root: Path) -> DataSet:
    """List `root`. Raises DataError for a line without its image, or a list of which some masks are missing."""
    lists = sorted((root / "ImageSets" / "Segmentation").glob("*.txt"))
    if not lists:
        raise DataError(f"{root}: no lists of images; wanted {LAYOUT}")
    folders = (root / "JPEGImages", root / MASKS, root / AUGMENTED)
    images, masks, augmented = (by_stem(images_in(folder, "**/*"), below=folder) for folder in folders)
    parts = []
    for file in lists:
        name = file.stem.replace("train_aug", "trainaug")
        masks_of_part = {**masks, **augmented} if name == "trainaug" else {**augmented, **masks}
        parts.append((name, _read_list(file, root, images, masks_of_part)))
    classes, palette, class_list = _read_classes(root)
    return DataSet(root, classes, palette, named_splits(parts, root), class_list)


def _read_list(file: Path, root: Path, images: Mapping[str, Path], masks: Mapping[str, Path]) -> tuple[Sample, ...]:
    samples = []
    for number, line in read_lines(file):
        where = f"{file}: line {number}"
        name = line.strip('"')
        stem = name if name in images else name.removesuffix(Path(name).suffix)
        if stem not in images and "/" in name and Path(name).suffix:
            image, *mask = (find_image(path.lstrip("/"), [root], source=where) for path in line.split())
            samples.append(Sample(image, *mask[:1]))
            continue
        if stem not in images:
            raise DataError(f"{where}: no image '{line}'; put it into {root / 'JPEGImages'} or take it off the list")
        samples.append(Sample(images[stem], masks.get(stem)))
    bare = [sample.image.stem for sample in samples if sample.mask is None]
    if len(bare) < len(samples):  # else the split is unlabelled, as VOC's test
        refuse(bare, ("image has no mask", "images have no mask"), f"put them as <name>.png into {root / MASKS}", file)
    return tuple(samples)


def _read_classes(root: Path) -> tuple[tuple[str, ...], NDArray[np.uint8], Path | None]:
    """Names, colours, and the file that they are from, if there is one."""
    if (file := root / "labelmap.txt").is_file():
        return *_read_label_map(file), file
    if (file := root / "classes.txt").is_file():
        return *read_class_list(file), file
    return VOC, color_map(len(VOC)), None


def _read_label_map(file: Path) -> tuple[tuple[str, ...], NDArray[np.uint8]]:
    """CVAT's list: `name:red,green,blue:parts:actions` after a line of comment."""
    lines = [(number, line) for number, line in read_lines(file) if not line.startswith("#")]
    names, colors = [], []
    for number, line in lines:
        name, _, rest = line.partition(":")
        words = rest.partition(":")[0].split(",")
        color = [int(word) for word in words if word.strip().isdecimal()]
        if len(words) != 3 or len(color) != 3 or max(color) > 255:
            raise DataError(f"{file}: line {number}: wanted name:R,G,B:: with colours of 0..255, came '{line}'")
        names.append((number, name))
        colors.append(color)
    return only_once(names, file), np.array(colors, np.uint8)
