"""ADE20K as the scene parsing benchmark has it (Zhou et al., CVPR 2017, arXiv 1608.05442): ADEChallengeData2016.

images/{training,validation}/*.jpg (20210 and 2000 images) and annotations/{training,validation}/*.png, in which 0 is
not labelled and 1 .. 150 are the classes: 0 is ignored, and every label is one less here ("reduce zero label").
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deeplab.data.dataset import DataSet
from deeplab.data.formats._listing import folders_in, has_folder, named_splits, paired_folders
from deeplab.data.label_sets import ADE20K
from deeplab.data.regroup import regroup
from deeplab.errors import DataError
from deeplab.images import color_map

__all__ = ["LAYOUT", "detect", "read"]

LAYOUT = "images/training/*.jpg and annotations/training/*.png"

UNLABELLED = "unlabelled"


def detect(root: Path) -> bool:
    """Whether `root` has the folders of ADE20K's annotations."""
    return has_folder(root, "annotations/training", "annotations/validation")


def read(root: Path) -> DataSet:
    """List `root`. Raises DataError for an image without a mask, or a mask without an image."""
    folders = folders_in(root / "images")
    if not folders:
        raise DataError(f"{root}: no images; wanted {LAYOUT}")
    parts = ((folder.name, paired_folders(folder, root / "annotations" / folder.name)) for folder in folders)
    splits = named_splits(parts, root)
    palette = np.vstack([np.zeros((1, 3), np.uint8), color_map(len(ADE20K))])
    return regroup(DataSet(root, (UNLABELLED, *ADE20K), palette, splits), ADE20K)
