"""The plain layout: DATA/{train,val,test}/images/*, DATA/{train,val,test}/masks/*.png, DATA/classes.txt.

`classes.txt` has one class a line, `name` or `name R G B`; a mask is an 8-bit or 16-bit image of class
indices with the stem of its image, in which 255 (or 65535) is ignored. A split without a `masks` folder is
unlabelled.
"""

from __future__ import annotations

from pathlib import Path

from deeplab.data.dataset import DataSet
from deeplab.data.formats._listing import by_stem, has_folder, images_in, paired, read_class_list
from deeplab.data.sample import Sample
from deeplab.errors import DataError

__all__ = ["LAYOUT", "detect", "read"]

LAYOUT = "train/images/*, train/masks/*.png and classes.txt"


def detect(root: Path) -> bool:
    """Whether `root` looks like the plain layout, complete or not."""
    return has_folder(root, "*/masks") or ((root / "classes.txt").is_file() and has_folder(root, "*/images"))


def read(root: Path) -> DataSet:
    """List `root`. Raises DataError for a missing class list, image or mask, or stems that occur twice."""
    class_list = root / "classes.txt"
    classes, palette = read_class_list(class_list)
    folders = sorted(folder.parent for folder in root.glob("*/images") if folder.is_dir())
    if not folders:
        raise DataError(f"{root}: no images; wanted {LAYOUT}")
    splits = {folder.name: _read_split(folder) for folder in folders}
    return DataSet(root, classes, palette, splits, class_list)


def _read_split(folder: Path) -> tuple[Sample, ...]:
    images = by_stem(images_in(folder / "images"))
    masks = by_stem(images_in(folder / "masks"))
    return paired(images, masks, folders=(folder / "images", folder / "masks"))
