"""Cityscapes (Cordts et al., CVPR 2016, arXiv 1604.01685): leftImg8bit/SPLIT/CITY, gtFine/SPLIT/CITY.

2975 images of train, 500 of val, 1525 of test. Masks hold ids, of which 19 are evaluated (the train ids) and the rest
is ignored; where there are only labelTrainIds, as the authors' scripts make them, those are read. What gtFine does
not have, as train_extra, is taken from gtCoarse.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deeplab.data.dataset import DataSet
from deeplab.data.formats._listing import by_stem, folders_in, images_in, paired
from deeplab.data.label_sets import CITYSCAPES, CITYSCAPES_PALETTE
from deeplab.data.regroup import regroup
from deeplab.data.sample import Sample
from deeplab.errors import DataError

__all__ = ["LAYOUT", "detect", "read"]

LAYOUT = "leftImg8bit/train/CITY/*_leftImg8bit.png and gtFine/train/CITY/*_gtFine_labelIds.png"

IDS = (
    "unlabeled", "ego vehicle", "rectification border", "out of roi", "static", "dynamic", "ground",
    "road", "sidewalk", "parking", "rail track",
    "building", "wall", "fence", "guard rail", "bridge", "tunnel",
    "pole", "polegroup", "traffic light", "traffic sign",
    "vegetation", "terrain", "sky", "person", "rider",
    "car", "truck", "bus", "caravan", "trailer", "train", "motorcycle", "bicycle",
)  # fmt: skip
"""The names of the ids 0 .. 33; licence plates have none in a mask."""


def detect(root: Path) -> bool:
    """Whether `root` has Cityscapes' folder of images."""
    return (root / "leftImg8bit").is_dir()


def read(root: Path) -> DataSet:
    """List `root`. Raises DataError for an image without a mask, or a mask without an image."""
    folders = folders_in(root / "leftImg8bit")
    if not folders:
        raise DataError(f"{root}: no images; wanted {LAYOUT}")
    kind = "labelIds" if any(root.glob("gt*/*/*/*_labelIds.png")) else "labelTrainIds"
    splits = {folder.name: _read_split(root, folder.name, kind) for folder in folders}
    if kind == "labelTrainIds":
        return DataSet(root, CITYSCAPES, CITYSCAPES_PALETTE, splits)
    palette = np.zeros((len(IDS), 3), np.uint8)
    palette[[IDS.index(name) for name in CITYSCAPES]] = CITYSCAPES_PALETTE
    return regroup(DataSet(root, IDS, palette, splits), CITYSCAPES)


def _read_split(root: Path, split: str, kind: str) -> tuple[Sample, ...]:
    folder = root / "leftImg8bit" / split
    images = by_stem(images_in(folder, "*/*"), ending="_leftImg8bit")
    truth = "gtFine" if (root / "gtFine" / split).is_dir() else "gtCoarse"
    ending = f"_{truth}_{kind}"
    masks = by_stem(images_in(root / truth / split, "*/*"), ending=ending)
    return paired(images, masks, folders=(folder, root / truth / split), ending=ending)
