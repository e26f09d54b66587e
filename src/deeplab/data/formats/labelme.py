"""LabelMe: a JSON file of shapes beside each image, in folders train, val and test, or in one, which is all train.

Shapes are painted in the order of the file, as labelme's own export does: polygons, rectangles, also turned ones,
circles and masks. Here a shape has the pixels whose centres lie within it, there also those that its outline touches.
The classes are background, then those of a labels.txt, or else all labels of shapes with an area, sorted. As with
labelme, `_background_` is the background and `__ignore__` is ignored. Images without a file of shapes are not listed.
"""

from __future__ import annotations

import base64
import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from deeplab.data.dataset import DataSet
from deeplab.data.drawing import IGNORED, Bitmap, Drawing, Polygon, Region
from deeplab.data.formats._listing import find_image, only_once, peek, read_json, read_lines, split_name, well_formed
from deeplab.data.formats._shapes import BACKGROUND, ellipse, rectangle, warn_left_out, with_background
from deeplab.data.sample import Sample
from deeplab.errors import DataError, unknown_name
from deeplab.images import color_map

__all__ = ["LAYOUT", "detect", "read"]

LAYOUT = "train/*.json of labelme beside train/*.jpg"

PEEKED = 20
"""So many JSON files are opened to find one of labelme's."""

WITHOUT_AREA = ("point", "points", "line", "linestrip")
"""Kinds of shapes whose labels make no classes."""

OWN_NAMES = {"_background_": BACKGROUND, "__ignore__": ""}
"""What labelme calls the background, and what is to be ignored."""


def detect(root: Path) -> bool:
    """Whether one of the first JSON files of `root` begins as labelme's do."""
    files = chain(root.glob("*.json"), root.glob("*/*.json"))
    return any('"shapes"' in peek(file) for file in islice(files, PEEKED))


def read(root: Path) -> DataSet:
    """List `root`. Raises DataError for an image that is missing, or a file that is not as labelme writes it."""
    files = (file for file in sorted(root.rglob("*.json")) if not file.name.startswith(".") and not _is_list(file))
    contents = {file: content for file in files if "shapes" in (content := _without_picture(read_json(file)))}
    if not contents:
        raise DataError(f"{root}: no files of shapes; wanted {LAYOUT}")
    class_list = root / "labels.txt" if (root / "labels.txt").is_file() else None
    used = {label for file, content in contents.items() for label in _labels(content, file)}
    names = sorted(used) if class_list is None else only_once(read_lines(class_list), class_list)
    classes = with_background(name for each in names if (name := OWN_NAMES.get(each, each)))
    labels = {"__ignore__": IGNORED, "_background_": 0, **{name: label for label, name in enumerate(classes)}}
    left_out: Counter[str] = Counter()
    splits: dict[str, list[Sample]] = defaultdict(list)
    for file, content in contents.items():
        splits[_split(file, root)].append(_sample(file, content, root, labels, left_out))
    warn_left_out(left_out, source=root)
    palette = color_map(len(classes))
    return DataSet(root, classes, palette, {name: tuple(samples) for name, samples in splits.items()}, class_list)


@dataclass(frozen=True)
class _Picture:
    """A PNG within a file of shapes, as base64."""

    name: str
    text: str

    @property
    def stem(self) -> str:
        return self.name

    def read_bytes(self) -> bytes:
        return base64.b64decode(self.text)

    def __str__(self) -> str:
        return self.name


def _is_list(file: Path) -> bool:
    """Whether it is none of labelme's: JSON of something else."""
    return peek(file).lstrip().startswith("[")


def _without_picture(content: Mapping[str, Any]) -> dict[str, Any]:
    """Without the copy of the image that labelme keeps in its file."""
    return {name: value for name, value in content.items() if name != "imageData"}


def _labels(content: Mapping[str, Any], file: Path) -> set[str]:
    """Those of the shapes that have an area."""
    with well_formed(f"{file}: shapes"):
        areas = [shape for shape in content["shapes"] if shape.get("shape_type") not in WITHOUT_AREA]
        return {str(shape["label"]) for shape in areas}


def _split(file: Path, root: Path) -> str:
    name = split_name(file.relative_to(root).parts[0])
    return name if name in ("train", "val", "test") else "train"


def _sample(
    file: Path, content: Mapping[str, Any], root: Path, labels: Mapping[str, int], left_out: Counter[str]
) -> Sample:
    with well_formed(file):
        size = (content.get("imageHeight"), content.get("imageWidth"))
        known = (int(size[0]), int(size[1])) if size[0] and size[1] else None
        places = [file.parent, file.parent.parent / "images", root / "images", root]
        image = find_image(content["imagePath"], places, source=file)
    regions = []
    for number, shape in enumerate(content["shapes"], start=1):
        with well_formed(f"{file}: shape {number}"):
            region = _region(shape, f"{file}: shape {number}")
            if region is None:
                left_out[shape["shape_type"]] += 1
            elif shape["label"] not in labels:
                raise DataError(f"{file}: shape {number}: {unknown_name('class', shape['label'], labels)}")
            else:
                regions.append((labels[shape["label"]], region))
    return Sample(image, Drawing(str(file), tuple(regions), known))


def _region(shape: Mapping[str, Any], name: str) -> Region | None:
    """The pixels of a shape; None where it has no area: a point, a line."""
    points = [(float(x), float(y)) for x, y in shape["points"]]
    x, y = zip(*points, strict=True)
    match shape.get("shape_type") or "polygon":
        case "polygon" | "oriented_rectangle" | "rotation":  # the last is what X-AnyLabeling calls the one before
            return Polygon.of(points)
        case "rectangle":
            return rectangle(min(x), min(y), max(x), max(y))
        case "circle":  # its centre and a point on it
            radius = math.dist(*points)
            return ellipse(points[0], (radius, radius))
        case "mask":  # the corners of its box and the picture that fills it
            return Bitmap(_Picture(name, shape["mask"]), (int(min(y)), int(min(x))))
    return None
