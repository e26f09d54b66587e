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

from deeplab.data.dataset import DataSet
from deeplab.data.sample import Sample
from deeplab.errors import DataError
from deeplab.images import IMAGE_SUFFIXES, color_map

__all__ = ["detect", "read"]


def detect(root: Path) -> bool:
    """Whether `root` looks like the plain layout, complete or not."""
    return (root / "classes.txt").is_file() or any(root.glob("*/images"))


def read(root: Path) -> DataSet:
    """List `root`. Raises DataError for a missing class list, image or mask, or stems that occur twice."""
    classes, palette = _read_classes(root / "classes.txt")
    folders = sorted(folder.parent for folder in root.glob("*/images") if folder.is_dir())
    if not folders:
        raise DataError(f"{root}: no images; wanted {root}/train/images/* and {root}/train/masks/*.png")
    return DataSet(root, classes, palette, {folder.name: _read_split(folder) for folder in folders})


def _read_split(folder: Path) -> tuple[Sample, ...]:
    images = _by_stem(folder / "images")
    if not (folder / "masks").is_dir():
        return tuple(map(Sample, images.values()))
    masks = _by_stem(folder / "masks")
    _refuse(
        images.keys() - masks.keys(),
        "images have no mask",
        f"put them as <stem>.png into {folder / 'masks'}",
        folder,
    )
    _refuse(masks.keys() - images.keys(), "masks have no image", f"put them into {folder / 'images'}", folder)
    return tuple(Sample(image, masks[stem]) for stem, image in images.items())


def _by_stem(folder: Path) -> dict[str, Path]:
    files = sorted(
        file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".")
    )
    found: dict[str, Path] = {}
    for file in files:
        if file.stem in found:
            raise DataError(f"{folder}: {found[file.stem].name} and {file.name} have the same stem; keep or rename one")
        found[file.stem] = file
    return found


def _refuse(stems: set[str], problem: str, way_out: str, folder: Path) -> None:
    if stems:
        some = ", ".join(sorted(stems)[:5]) + (", ..." if len(stems) > 5 else "")
        raise DataError(f"{folder}: {len(stems)} {problem} ({some}); {way_out}")


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
