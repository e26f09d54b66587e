"""A data set is its classes and its samples by split; a sample is checked when it is read."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from deeplab import catalog
from deeplab._words import number_of
from deeplab.data.drawing import Drawing
from deeplab.data.sample import Sample
from deeplab.errors import DataError, InputNotFoundError, unknown_name
from deeplab.files import File
from deeplab.images import read_image, read_labels

__all__ = ["DataSet", "Regrouped", "Stray", "fix_command", "is_dataset", "load_sample", "open_dataset", "survey"]

SUBFOLDERS = 50
"""So many are looked into where a folder is no data set, for the one that was meant."""


@dataclass(frozen=True, eq=False)
class DataSet:
    """Classes and samples of one folder."""

    root: Path
    classes: tuple[str, ...]
    palette: NDArray[np.uint8]
    """(num_classes, 3); masks in colours are read by it."""
    splits: Mapping[str, tuple[Sample, ...]]
    """Samples in order by "train", "val", "test" and what else the data set calls its parts."""
    class_list: Path | None = None
    """The file that the classes come from; None: they are those that the format always has."""
    regrouped: Regrouped | None = None
    """What `regroup` made it of."""

    @property
    def origin(self) -> DataSet:
        """The data set as it is in the files, before its classes were regrouped."""
        return self if self.regrouped is None else self.regrouped.origin

    @property
    def groups(self) -> Mapping[str, tuple[str, ...]]:
        """Each class, in order, with those that it was last made of; by these names other models know it."""
        return {name: (name,) for name in self.classes} if self.regrouped is None else self.regrouped.groups

    @property
    def ignore_index(self) -> int:
        """The label of pixels that do not count: 255, or 65535 where 255 is a class."""
        return 255 if len(self.classes) <= 255 else 65535

    def split(self, name: str) -> tuple[Sample, ...]:
        """The samples of one split. Raises DataError where there are none."""
        if not self.splits.get(name):
            there = ", ".join(split for split, samples in self.splits.items() if samples)
            raise DataError(f"{self.root}: no images in split '{name}'; there are images in: {there or 'none'}")
        return self.splits[name]


@dataclass(frozen=True, eq=False)
class Regrouped:
    """How the classes of a data set were made of those of its `origin`, whose masks it shares."""

    origin: DataSet
    """What lies in the files, never regrouped itself: the 34 ids of Cityscapes, the 32 colours of CamVid."""
    groups: Mapping[str, tuple[str, ...]]
    """Each class, in order, with those that it was made of: of the origin, or of what a format has made of it."""
    lookup: NDArray[np.uint8 | np.uint16]
    """The label here, or the one to be ignored, by each label of the origin, (origin.ignore_index + 1,)."""


@dataclass(frozen=True)
class Stray:
    """Files of a data set that are part of no sample."""

    kind: Literal["image without mask", "mask without image", "same stem"]
    folder: Path
    """Where the missing files belong, or where those of the same stem are."""
    files: tuple[Path, ...]
    split: str
    """What they would be a part of."""

    def error(self, root: Path) -> DataError:
        """Why the data set in `root` cannot be opened."""
        copy = f"'{fix_command(root)}' writes a repaired copy"
        if self.kind == "same stem":
            names = " and ".join(file.name for file in self.files[:2])
            return DataError(f"{self.folder}: {names} have the same stem; keep or rename one, or {copy}")
        what, missing = self.kind.split(" without ")
        some = ", ".join(file.stem for file in self.files[:5]) + (", ..." if len(self.files) > 5 else "")
        way_out = f"put them {'as <stem>.png ' if missing == 'mask' else ''}into {self.folder}"
        have = number_of(len(self.files), f"{what} has", f"{what}s have")
        return DataError(f"{self.folder.parent}: {have} no {missing} ({some}); {way_out}, or {copy}")


def fix_command(root: Path) -> str:
    """What writes a repaired copy of the data set in `root` beside it."""
    named = root if root.name not in ("", "..") else root.resolve()
    return f"deeplab doctor {root} --fix {named.with_name(f'{named.name}_repaired')}"


def is_dataset(root: Path) -> bool:
    """Whether the folder `root` looks like a data set of a known format, in order or not."""
    return bool(_fitting(root, _formats()))


def open_dataset(root: str | Path, *, format: str | None = None, flag: str = "--format") -> DataSet:
    """List the data set in the folder `root`; its format is detected unless given by name.

    Args:
        flag: What a user gives the name by, for the error where several formats fit.

    Raises:
        InputNotFoundError: there is no such folder, or it is a file.
        UnknownNameError: there is no format of that name.
        DataError: no format fits, or the folder is not in order.
    """
    root = Path(root)
    dataset: DataSet = _format_of(root, format, flag).read(root)
    return dataset


def survey(root: str | Path, *, format: str | None = None) -> tuple[DataSet, list[Stray]]:
    """As `open_dataset`, but where files are missing, list the samples that are whole, and the files that are not."""
    root = Path(root)
    module = _format_of(root, format)
    listing: tuple[DataSet, list[Stray]]
    listing = module.survey(root) if hasattr(module, "survey") else (module.read(root), [])
    return listing


def load_sample(sample: Sample, dataset: DataSet) -> tuple[NDArray[np.uint8], NDArray[np.uint8 | np.uint16]]:
    """Read and check an image and its labels.

    Returns:
        The image, uint8 (H, W, 3) RGB, and its labels (H, W), 0 .. num_classes - 1 or `dataset.ignore_index`;
        uint8 up to 255 classes, uint16 above. Without a mask, every label is the ignored one.

    Raises:
        ImageError: a file that cannot be read.
        DataError: sizes that differ, or a label out of range.
    """
    if dataset.regrouped is not None:
        image, labels = load_sample(sample, dataset.regrouped.origin)
        return image, dataset.regrouped.lookup[labels]
    image = read_image(sample.image)
    dtype = np.uint8 if dataset.ignore_index == 255 else np.uint16
    if sample.mask is None:
        return image, np.full(image.shape[:2], dataset.ignore_index, dtype)
    labels = _read_mask(sample.mask, dataset, size=(image.shape[0], image.shape[1]))
    num_classes = len(dataset.classes)
    ignored = labels == np.iinfo(labels.dtype).max
    if num_classes <= 255:
        ignored |= labels == 255
    wrong = (labels >= num_classes) & ~ignored
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        values = np.unique(labels[wrong])
        more = f" ({len(values)} such values: {_some(values)})" if len(values) > 1 else ""
        add = f"add the class to {dataset.class_list} or " if dataset.class_list else ""
        raise DataError(
            f"{sample.mask}: label {labels[row, column]} at (row {row}, column {column}) is outside "
            f"0..{num_classes - 1} and is not the ignore value {np.iinfo(labels.dtype).max}{more}; "
            f"{add}correct the mask"
        )
    return image, np.where(ignored, dtype(dataset.ignore_index), labels).astype(dtype)


def _read_mask(mask: File | Drawing, dataset: DataSet, *, size: tuple[int, int]) -> NDArray[np.uint8 | np.uint16]:
    """The labels as they stand there, of the size of their image, or DataError."""
    if isinstance(mask, Drawing):
        _check_size(mask, mask.size or size, size)
        return mask.read(size)
    labels = read_labels(mask, palette=dataset.palette)
    _check_size(mask, labels.shape, size)
    return labels


def _check_size(mask: File | Drawing, size: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    if size != wanted:
        guess = "it looks transposed" if size == wanted[::-1] else "export the mask at the size of its image"
        raise DataError(
            f"{mask}: mask is {size[0]} x {size[1]} (height x width) "
            f"but its image is {wanted[0]} x {wanted[1]}; {guess}"
        )


def _some(values: NDArray[np.integer]) -> str:
    return ", ".join(map(str, values[:8])) + (", ..." if len(values) > 8 else "")


def _format_of(root: Path, format: str | None, flag: str = "--format") -> ModuleType:
    """The format of this name, or the one that `root` looks like; raises as `open_dataset`."""
    if root.is_file():
        raise InputNotFoundError(f"{root}: a file; name the folder of a data set, unpacked if this is an archive of it")
    if not root.is_dir():
        raise InputNotFoundError(f"{root}: no such folder; name the folder of a data set")
    formats = _formats()
    if format is not None and format not in formats:
        raise unknown_name("data format", format, formats)
    return formats[format or _detected(root, formats, flag)]


def _formats() -> dict[str, ModuleType]:
    """Every file in `formats/` with `detect(root) -> bool`, `read(root) -> DataSet` and `LAYOUT`, by its name."""
    names = catalog.offering("data/formats", "read")
    return {name: importlib.import_module(f"deeplab.data.formats.{name}") for name in names}


def _detected(root: Path, formats: Mapping[str, ModuleType], flag: str) -> str:
    """The name of the one format that `root` looks like, or DataError."""
    found = _fitting(root, formats)
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError(f"{root}: could be {' or '.join(found)}; say which one by {flag}, as in {flag} {found[0]}")
    for folder in islice((path for path in sorted(root.iterdir()) if path.is_dir()), SUBFOLDERS):
        if inner := _fitting(folder, formats):
            raise DataError(f"{root}: not a data set, but {folder} looks like one ({inner[0]}); name that folder")
    raise DataError(
        f"{root}: not a data set in a known format; the plain one has {formats['folder'].LAYOUT}; "
        f"docs/data.md has the others ({', '.join(name for name in formats if name != 'folder')})"
    )


def _fitting(root: Path, formats: Mapping[str, ModuleType]) -> list[str]:
    return [name for name, module in formats.items() if module.detect(root)]
