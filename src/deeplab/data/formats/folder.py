"""The plain layout: DATA/{train,val,test}/images/*, DATA/{train,val,test}/masks/*.png, DATA/classes.txt.

`classes.txt` has one class a line, `name` or `name R G B`; a mask is an 8-bit or 16-bit image of class
indices with the stem of its image, in which 255 (or 65535) is ignored. A split without a `masks` folder is
unlabelled.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeplab.data.dataset import DataSet, Stray
from deeplab.data.sample import Sample
from deeplab.errors import DataError
from deeplab.images import IMAGE_SUFFIXES, color_map

__all__ = ["detect", "read", "survey"]


def detect(root: Path) -> bool:
    """Whether `root` looks like the plain layout, complete or not."""
    return (root / "classes.txt").is_file() or any(root.glob("*/images"))


def read(root: Path) -> DataSet:
    """List `root`. Raises DataError for a missing class list, image or mask, or stems that occur twice."""
    dataset, strays = survey(root)
    for stray in strays:
        raise stray.error()
    return dataset


def survey(root: Path) -> tuple[DataSet, list[Stray]]:
    """What of `root` makes whole samples, and the files that do not. Raises DataError for a missing class list."""
    classes, palette = _read_classes(root / "classes.txt")
    folders = sorted(folder.parent for folder in root.glob("*/images") if folder.is_dir())
    if not folders:
        raise DataError(f"{root}: no images; wanted {root}/train/images/* and {root}/train/masks/*.png")
    splits: dict[str, tuple[Sample, ...]] = {}
    strays: list[Stray] = []
    for folder in folders:
        splits[folder.name], left = _survey_split(folder)
        strays += left
    return DataSet(root, classes, palette, splits), strays


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
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith("."):
            files.setdefault(file.stem, []).append(file)
    strays = [Stray("same stem", folder, tuple(same)) for same in files.values() if len(same) > 1]
    return {stem: same[0] for stem, same in files.items() if len(same) == 1}, strays


def _read_classes(file: Path) -> tuple[tuple[str, ...], NDArray[np.uint8]]:
    if not file.is_file():
        raise DataError(f"{file}: no such file; write one class a line in order of index, `name` or `name R G B`")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: byte {error.start} is not UTF-8; save it as UTF-8") from error
    lines = [line.strip() for line in text.splitlines()]
    numbered = [(number, line) for number, line in enumerate(lines, start=1) if line]
    if not numbered:
        raise DataError(f"{file}: empty; write one class a line in order of index, `name` or `name R G B`")
    palette = color_map(len(numbered)).copy()
    names = []
    for index, (number, line) in enumerate(numbered):
        name, color = _split_color(line.split())
        if color is not None:
            if max(color) > 255:
                raise DataError(f"{file}: line {number}: colour {' '.join(map(str, color))} is outside 0..255")
            palette[index] = color
        if name in names:
            raise DataError(f"{file}: line {number}: class '{name}' occurs twice; give each class its own name")
        names.append(name)
    return tuple(names), palette


def _split_color(words: Sequence[str]) -> tuple[str, tuple[int, ...] | None]:
    """A line's name, which may hold spaces, and its colour: the last three words if they are numbers."""
    if len(words) > 3 and all(word.isdecimal() for word in words[-3:]):
        return " ".join(words[:-3]), tuple(map(int, words[-3:]))
    return " ".join(words), None
