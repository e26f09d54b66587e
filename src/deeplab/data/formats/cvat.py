"""CVAT's own format for images, version 1.1: annotations.xml and images/*, with one folder for each subset.

Shapes are painted from the lowest z_order up, and in the order of the file: boxes, polygons, ellipses and masks. The
classes are background, which is what nobody drew, then the labels in the order of the project. Subsets are the
splits; without any, all is train.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from deeplab.data.dataset import DataSet
from deeplab.data.drawing import Drawing, Polygon, Region, Runs
from deeplab.data.formats._listing import find_image, peek, split_name, well_formed
from deeplab.data.formats._shapes import ellipse, rectangle, warn_left_out, with_background
from deeplab.data.sample import Sample
from deeplab.errors import DataError, unknown_name
from deeplab.images import color_map

__all__ = ["LAYOUT", "detect", "read"]

LAYOUT = "annotations.xml and images/*, as 'CVAT for images 1.1' exports them"

AREAS = ("any", "rectangle", "bbox", "polygon", "mask", "ellipse", "")
"""Kinds of labels that regions have; those of points, skeletons, tags ... are no classes."""


def detect(root: Path) -> bool:
    """Whether `root` has a file of annotations that begins as CVAT's do."""
    file = root / "annotations.xml"
    return file.is_file() and "<annotations>" in peek(file)


def read(root: Path) -> DataSet:
    """List `root`. Raises DataError for an image that is missing, or a file that is not as CVAT writes it."""
    file = root / "annotations.xml"
    if not file.is_file():
        raise DataError(f"{root}: no annotations; wanted {LAYOUT}")
    try:
        content = ElementTree.parse(file).getroot()
    except ElementTree.ParseError as error:
        raise DataError(f"{file}: not XML ({error}); export it again") from error
    if content.find("track") is not None:
        raise DataError(f"{file}: holds tracks of a video; export it as 'CVAT for images 1.1'")
    found = [label for label in content.iterfind("meta//labels/label") if label.findtext("type", "") in AREAS]
    classes = with_background(dict.fromkeys(label.findtext("name", "") for label in found))
    if len(classes) < 2:
        raise DataError(f"{file}: names no labels; wanted meta with its labels, as CVAT exports it")
    palette = color_map(len(classes)).copy()
    for label in found:
        if color := label.findtext("color"):
            with well_formed(f"{file}: colour {color}"):
                palette[classes.index(label.findtext("name", ""))] = list(bytes.fromhex(color.lstrip("#")))
    labels = {name: label for label, name in enumerate(classes)}
    left_out: Counter[str] = Counter()
    splits: dict[str, list[Sample]] = defaultdict(list)
    for image in sorted(content.iterfind("image"), key=lambda image: image.get("name", "")):
        splits[_split(image)].append(_sample(image, file, labels, left_out))
    warn_left_out(left_out, source=file)
    return DataSet(root, classes, palette, {name: tuple(samples) for name, samples in splits.items()}, file)


def _split(image: ElementTree.Element) -> str:
    return split_name(image.get("subset") or "train")


def _sample(image: ElementTree.Element, file: Path, labels: Mapping[str, int], left_out: Counter[str]) -> Sample:
    with well_formed(f"{file}: image {image.get('name')}"):
        name, folder = image.attrib["name"], file.parent / "images"
        path = find_image(name, [folder / image.get("subset", ""), folder, file.parent], source=file)
        shapes = sorted(image, key=lambda shape: int(shape.get("z_order", 0)))
        size = (int(image.attrib["height"]), int(image.attrib["width"]))
    regions = []
    for shape in shapes:
        with well_formed(f"{file}: image {name}: a {shape.tag}"):
            region = _region(shape)
            label = shape.attrib["label"]
            if region is None:
                left_out.update({shape.tag} - {"tag"})
            elif label not in labels:
                raise DataError(f"{file}: image {name}: {unknown_name('class', label, labels)}")
            else:
                regions.append((labels[label], region))
    return Sample(path, Drawing(f"{file}: {name}", tuple(regions), size))


def _region(shape: ElementTree.Element) -> Region | None:
    """The pixels of a shape; None where it has no area: a tag, points, a line, a skeleton."""

    def number(name: str) -> float:
        return float(shape.attrib[name])

    degrees = float(shape.get("rotation", 0))
    match shape.tag:
        case "polygon":
            return Polygon.of([point.split(",") for point in shape.attrib["points"].split(";")])
        case "box":
            return rectangle(number("xtl"), number("ytl"), number("xbr"), number("ybr"), degrees=degrees)
        case "ellipse":
            return ellipse((number("cx"), number("cy")), (number("rx"), number("ry")), degrees=degrees)
        case "mask":
            counts = np.array(shape.attrib["rle"].split(","), np.int64)
            size = (int(number("height")), int(number("width")))
            return Runs(counts, size, corner=(int(number("top")), int(number("left"))))
    return None
