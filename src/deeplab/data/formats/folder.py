"""The plain layout: DATA/{train,val,test}/images/*, DATA/{train,val,test}/masks/*.png, DATA/classes.txt.

The folders of splits may also lie below those of images and masks, as DATA/images/train/* and DATA/masks/train/*.png;
and where there are none, DATA/images/* and DATA/masks/*.png are read, of which about a fifth are val.

`classes.txt` has one class a line, `name` or `name R G B`; without it what the masks hold is numbered, and a warning
says so. A mask is an 8-bit or 16-bit image of class indices with the stem of its image, in which 255 (or 65535) is
ignored. A split without a `masks` folder is unlabelled.
"""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

from deeplab.data.dataset import DataSet, Stray
from deeplab.data.formats._listing import folders_in, has_folder, images_in, named_splits, read_class_list, split_name
from deeplab.data.formats._unnamed import unnamed_classes
from deeplab.data.sample import Sample
from deeplab.errors import DataError

__all__ = ["LAYOUT", "detect", "read", "survey"]

logger = logging.getLogger(__name__)

LAYOUT = "train/images/*, train/masks/*.png and classes.txt"

VAL_SHARE = 0.2
"""Of the samples of a data set without splits."""


def detect(root: Path) -> bool:
    """Whether `root` looks like the plain layout, complete or not."""
    if _has_no_splits(root) or _has_splits_below(root):
        return True
    return has_folder(root, "*/masks") or ((root / "classes.txt").is_file() and has_folder(root, "*/images"))


def read(root: Path) -> DataSet:
    """List `root`. Raises DataError for a missing class list, image or mask, or stems that occur twice."""
    dataset, strays = survey(root)
    for stray in strays:
        raise stray.error(root)
    return dataset


def survey(root: Path) -> tuple[DataSet, list[Stray]]:
    """What of `root` makes whole samples, and the files that do not. Raises DataError for a missing class list."""
    images = [folder for folder in root.glob("*/images") if folder.is_dir()]
    folders = {folder.parent.name: (folder, folder.parent / "masks") for folder in images}
    if not folders and _has_splits_below(root):
        folders = {folder.name: (folder, root / "masks" / folder.name) for folder in folders_in(root / "images")}
    if not folders and _has_no_splits(root):
        samples, strays = _survey_split("train", root / "images", root / "masks")
        return _named(root, _divided(samples, root)), strays
    if not folders:
        raise DataError(f"{root}: no images; wanted {LAYOUT}")
    parts = [(name, *_survey_split(split_name(name), *folders[name])) for name in sorted(folders)]
    splits = named_splits(((name, samples) for name, samples, _ in parts), root)
    return _named(root, splits), [stray for *_, left in parts for stray in left]


def _named(root: Path, splits: dict[str, tuple[Sample, ...]]) -> DataSet:
    """With the classes of the list, or where there is none, what the masks hold."""
    class_list = root / "classes.txt"
    masks = [sample.mask for samples in splits.values() for sample in samples if isinstance(sample.mask, Path)]
    unnamed = masks and not class_list.is_file()
    classes, palette = unnamed_classes(masks, class_list) if unnamed else read_class_list(class_list)
    return DataSet(root, classes, palette, splits, class_list)


def _has_no_splits(root: Path) -> bool:
    return (root / "masks").is_dir() and bool(images_in(root / "images"))


def _has_splits_below(root: Path) -> bool:
    names = {folder.name for folder in folders_in(root / "images")}
    return any(folder.name in names for folder in folders_in(root / "masks"))


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


def _survey_split(split: str, image_folder: Path, mask_folder: Path) -> tuple[tuple[Sample, ...], list[Stray]]:
    images, strays = _by_stem(image_folder, split)
    if not mask_folder.is_dir():
        return tuple(map(Sample, images.values())), strays
    masks, more = _by_stem(mask_folder, split)
    strays += more
    known = {file.stem for stray in strays for file in stray.files}  # not missing, but there twice
    if bare := tuple(images[stem] for stem in images if stem not in masks and stem not in known):
        strays.append(Stray("image without mask", mask_folder, bare, split))
    if lonely := tuple(masks[stem] for stem in masks if stem not in images and stem not in known):
        strays.append(Stray("mask without image", image_folder, lonely, split))
    return tuple(Sample(images[stem], masks[stem]) for stem in images if stem in masks), strays


def _by_stem(folder: Path, split: str) -> tuple[dict[str, Path], list[Stray]]:
    """The files of one stem each, sorted, and those that share theirs."""
    files: dict[str, list[Path]] = {}
    for file in images_in(folder):
        files.setdefault(file.stem, []).append(file)
    strays = [Stray("same stem", folder, tuple(same), split) for same in files.values() if len(same) > 1]
    return {stem: same[0] for stem, same in files.items() if len(same) == 1}, strays
