"""COCO's instances (Lin et al., ECCV 2014, arXiv 1405.0312): JSON files of polygons and run lengths, by category.

annotations/instances_SPLIT.json with the images in SPLIT or images/SPLIT (train2017: 118287 images, val2017: 5000);
one annotations.json beside the images; or SPLIT/_annotations.coco.json in the folder of its images.

Label 0 is the background, which is what no instance covers, and then come the categories by their id. Instances
overlap, and COCO does not say which one is in front: they are painted from the largest `area` to the smallest, so
that what lies on a table is not hidden by it. Crowds, of the category like any other instance, lie below them all.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deeplab.data.dataset import DataSet
from deeplab.data.drawing import Drawing, Polygon, Region, Runs
from deeplab.data.formats._listing import find_image, only_once, peek, read_json, split_name, well_formed
from deeplab.data.formats._shapes import with_background
from deeplab.data.sample import Sample
from deeplab.errors import DataError
from deeplab.images import color_map

__all__ = ["LAYOUT", "detect", "read"]

logger = logging.getLogger(__name__)

LAYOUT = "annotations/instances_train.json and train/*.jpg or images/train/*.jpg"

PATTERNS = ("annotations/*.json", "*annotations*.json", "instances*.json", "*/_annotations.coco.json")
OTHER_TASKS = ("captions", "person_keypoints", "stuff", "panoptic", "image_info")
KEYS = ('"images"', '"annotations"', '"categories"', '"licenses"')
PEEKED = 2**20
"""Bytes of a file in which one of the keys is looked for: what stands before them may be long."""


def detect(root: Path) -> bool:
    """Whether `root` has files of annotations that begin as COCO's do."""
    return any(True for _ in _files(root))


def read(root: Path) -> DataSet:
    """List `root`. Raises DataError for what is missing, or cannot be what a file says it is."""
    files: dict[str, tuple[Path, str]] = {}
    for file in _files(root):
        folder = _folder(file, root)
        split = split_name(folder)
        if split in files:
            raise DataError(f"{file}: {files[split][0].name} is of the split {split} already; keep one of them")
        files[split] = file, folder
    if not files:
        raise DataError(f"{root}: no files of annotations; wanted {LAYOUT}")
    contents = {split: read_json(file) for split, (file, _) in files.items()}
    known = {split: _categories(contents[split], file) for split, (file, _) in files.items()}
    (first, _), categories = next(iter(files.values())), next(iter(known.values()))
    for split, (file, _) in files.items():
        if known[split] != categories:
            raise DataError(f"{file}: its categories are not those of {first}; give both the same list")
    classes = with_background(categories.values())
    labels = {number: classes.index(name) for number, name in categories.items()}
    splits = {}
    for split, (file, folder) in files.items():
        places = [root / base / name for base in ("images", ".") for name in (folder, split)]
        places += [file.parent, root / "images"]
        splits[split] = _samples(contents.pop(split), file, labels, places)
    return DataSet(root, classes, color_map(len(classes)), splits, first)


def _files(root: Path) -> Iterator[Path]:
    for file in sorted({file for pattern in PATTERNS for file in root.glob(pattern)}):
        if file.name.startswith((".", *OTHER_TASKS)):
            continue
        beginning = peek(file, PEEKED)
        if any(key in beginning for key in KEYS):
            yield file


def _folder(file: Path, root: Path) -> str:
    """What the file calls its images: train2017 of instances_train2017.json, valid of valid/_annotations.coco.json."""
    name = re.sub("instances|annotations|coco", "", file.stem).strip("._-")
    return name or (file.parent.name if file.parent not in (root, root / "annotations") else "train")


def _categories(content: Mapping[str, Any], file: Path) -> dict[int, str]:
    """Names by id, in the order of the ids."""
    with well_formed(f"{file}: categories"):
        categories = content["categories"]
        grouped = {category["name"] for category in categories if category["name"] == category.get("supercategory")}
        found = sorted(
            (int(category["id"]), str(category["name"]))
            for category in categories
            if category.get("supercategory") != "none" or category["name"] not in grouped  # Roboflow's group of classes
        )
    only_once(found, file, of="id")
    return dict(found)


def _samples(
    content: Mapping[str, Any], file: Path, labels: Mapping[int, int], places: Sequence[Path]
) -> tuple[Sample, ...]:
    by_image: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    bare = 0
    with well_formed(f"{file}: annotations"):
        for annotation in content.get("annotations", ()):
            by_image[annotation["image_id"]].append(annotation)
            bare += not annotation.get("segmentation")
        if bare and bare == len(content["annotations"]):
            raise DataError(f"{file}: no annotation has a segmentation; boxes alone say nothing of pixels")
    if bare:
        logger.warning("%s: left out %d annotations without a segmentation", file, bare)
    samples = []
    with well_formed(f"{file}: images"):
        for image in sorted(content["images"], key=lambda image: str(image["file_name"])):
            name = f"{file}: {image['file_name']}"
            size = (int(image["height"]), int(image["width"]))
            drawing = Drawing(name, _regions(by_image.pop(image["id"], ()), labels, file), size)
            path = find_image(image["file_name"], places, source=file)
            samples.append(Sample(path, drawing if "annotations" in content else None))
    if by_image:
        raise DataError(f"{file}: has annotations of image {next(iter(by_image))}, which it does not list")
    return tuple(samples)


def _regions(
    annotations: Iterable[Mapping[str, Any]], labels: Mapping[int, int], file: Path
) -> tuple[tuple[int, Region], ...]:
    """Crowds, then the others from the largest to the smallest; those of one size in the order of the file."""
    painted = sorted(annotations, key=lambda one: (not one.get("iscrowd"), -float(one.get("area") or 0)))
    regions: list[tuple[int, Region]] = []
    for annotation in painted:
        with well_formed(f"{file}: annotation {annotation.get('id')}"):
            if annotation["category_id"] not in labels:
                raise ValueError(f"category {annotation['category_id']} is not in the list of categories")
            label, shape = labels[annotation["category_id"]], annotation.get("segmentation") or ()
            if isinstance(shape, Mapping):
                counts = shape["counts"] if isinstance(shape["counts"], str) else np.array(shape["counts"], np.int64)
                regions.append((label, Runs(counts, (int(shape["size"][0]), int(shape["size"][1])), by_column=True)))
            else:
                regions += [(label, Polygon.of(corners)) for corners in shape]
    return tuple(regions)
