"""The plain layout: DATA/{train,val,test}/images/*, DATA/{train,val,test}/masks/*.png, DATA/classes.txt.

Without folders of splits, DATA/images/* and DATA/masks/*.png are read, too: about a fifth of them are val.

`classes.txt` has one class a line, `name` or `name R G B`; a mask is an 8-bit or 16-bit image of class
indices with the stem of its image, in which 255 (or 65535) is ignored. A split without a `masks` folder is
unlabelled.
"""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

from deeplab.data.dataset import DataSet, Stray
from deeplab.data.formats._listing import has_folder, images_in, read_class_list
from deeplab.data.sample import Sample
from deeplab.errors import DataError

__all__ = ["LAYOUT", "detect", "read", "survey"]

logger = logging.getLogger(__name__)

LAYOUT = "train/images/*, train/masks/*.png and classes.txt"

VAL_SHARE = 0.2
"""Of the samples of a data set without splits."""


def detect(root: Path) -> bool:
    """Whether `root` looks like the plain layout, complete or not."""
    if _has_no_splits(root):
        return True
    return has_folder(root, "*/masks") or ((root / "classes.txt").is_file() and has_folder(root, "*/images"))


def read(root: Path) -> DataSet:
    """List `root`. Raises DataError for a missing class list, image or mask, or stems that occur twice."""
    dataset, strays = survey(root)
    for stray in strays:
        raise stray.error()
    return dataset


def survey(root: Path) -> tuple[DataSet, list[Stray]]:
    """What of `root` makes whole samples, and the files that do not. Raises DataError for a missing class list."""
    class_list = root / "classes.txt"
    classes, palette = read_class_list(class_list)
    folders = sorted(folder.parent for folder in root.glob("*/images") if folder.is_dir())
    splits: dict[str, tuple[Sample, ...]] = {}
    strays: list[Stray] = []
    if not folders and _has_no_splits(root):
        samples, strays = _survey_split(root)
        splits = _divided(samples, root)
    elif not folders:
        raise DataError(f"{root}: no images; wanted {LAYOUT}")
    for folder in folders:
        splits[folder.name], left = _survey_split(folder)
        strays += left
    return DataSet(root, classes, palette, splits, class_list), strays


def _has_no_splits(root: Path) -> bool:
    return (root / "masks").is_dir() and bool(images_in(root / "images"))


def _divided(samples: tuple[Sample, ...], root: Path) -> dict[str, tuple[Sample, ...]]:
    """Train and val, each of at least one sample where there are two.

    A hash of its name says where a sample is, so that it stays there when others are added.
    """
    if len(samples) < 2:
        return {"train": samples}
    places = [_place(sample.image.stem) for sample in samples]
    *_, last_but_one, _ = sorted(places)
    limit = min(max(VAL_SHARE, min(places)), last_but_one)
    splits = {
        "train": tuple(sample for sample, place in zip(samples, places, strict=True) if place > limit),
        "val": tuple(sample for sample, place in zip(samples, places, strict=True) if place <= limit),
    }
    logger.warning(
        "%s: no folders of splits; val are %d of the %d images, chosen by their names; if some are alike, as frames of "
        "a video, put images and masks into %s and %s yourself",
        root, len(splits["val"]), len(samples), root / "train", root / "val",
    )  # fmt: skip
    return splits


def _place(stem: str) -> float:
    """Evenly spread over 0 .. 1."""
    return int.from_bytes(hashlib.sha256(os.fsencode(stem)).digest()[:4]) / 2**32


def _survey_split(folder: Path) -> tuple[tuple[Sample, ...], list[Stray]]:
    images, strays = _by_stem(folder / "images")
    if not (folder / "masks").is_dir():
        return tuple(map(Sample, images.values())), strays
    masks, more = _by_stem(folder / "masks")
    strays += more
    known = {file.stem for stray in strays for file in stray.files}  # not missing, but there twice
    if bare := tuple(images[stem] for stem in images if stem not in masks and stem not in known):
        strays.append(Stray("image without mask", folder / "masks", bare))
    if lonely := tuple(masks[stem] for stem in masks if stem not in images and stem not in known):
        strays.append(Stray("mask without image", folder / "images", lonely))
    return tuple(Sample(images[stem], masks[stem]) for stem in images if stem in masks), strays


def _by_stem(folder: Path) -> tuple[dict[str, Path], list[Stray]]:
    """The files of one stem each, sorted, and those that share theirs."""
    files: dict[str, list[Path]] = {}
    for file in images_in(folder):
        files.setdefault(file.stem, []).append(file)
    strays = [Stray("same stem", folder, tuple(same)) for same in files.values() if len(same) > 1]
    return {stem: same[0] for stem, same in files.items() if len(same) == 1}, strays
