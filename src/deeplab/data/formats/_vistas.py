"""Mapillary Vistas (Neuhold et al., ICCV 2017), whose two versions differ in where their labels lie.

{training,validation,testing}/images/*.jpg (18000, 2000 and 5000 images) and labels/*.png of the indices of a list,
config*.json, which has names and colours. What the list does not evaluate, as what is not labelled, is ignored.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from pathlib import Path

import numpy as np

from deeplab.data.dataset import DataSet
from deeplab.data.formats._listing import has_folder, named_splits, paired_folders, read_json, well_formed
from deeplab.data.regroup import regroup
from deeplab.data.sample import Sample
from deeplab.errors import DataError

__all__ = ["is_vistas", "read_vistas"]


def is_vistas(root: Path, *, configs: Sequence[str]) -> bool:
    """Whether `root` has one of these lists of classes beside Vistas' folders."""
    return any((root / name).is_file() for name in configs) and has_folder(root, "training/images", "validation/images")


def read_vistas(root: Path, *, configs: Sequence[str], labels: Sequence[str], layout: str) -> DataSet:
    """List `root`, with the first of these lists of classes and of these folders of labels that is there.

    Raises:
        DataError: A list that is missing or not as Vistas has it, an image without a mask or the other way round.
    """
    config = next((root / name for name in configs if (root / name).is_file()), root / configs[0])
    folders = sorted(path.parent for path in root.glob("*/images") if path.is_dir())
    if not folders:
        raise DataError(f"{root}: no images; wanted {layout}")
    splits = named_splits(((folder.name, _read_part(folder, labels)) for folder in folders), root)
    content = read_json(config)
    with well_formed(f"{config}: labels"):
        entries = content["labels"]
        readable, names = (tuple(str(entry[key]) for entry in entries) for key in ("readable", "name"))
        palette = np.array([entry["color"] for entry in entries], np.uint8).reshape(len(entries), 3)
        evaluated = [bool(entry["evaluate"]) for entry in entries]
    classes = readable if len(set(readable)) == len(readable) else names
    return regroup(DataSet(root, classes, palette, splits, config), list(compress(classes, evaluated)))


def _read_part(folder: Path, labels: Sequence[str]) -> tuple[Sample, ...]:
    masks = next((folder / name for name in labels if (folder / name).is_dir()), folder / labels[0])
    return paired_folders(folder / "images", masks)
