"""COCO-Stuff (Caesar et al., CVPR 2018, arXiv 1612.03716): a map of things and stuff for each image of COCO 2017.

images/train2017/*.jpg (118287 images) and images/val2017/*.jpg (5000), or without `images`; the maps of
stuffthingmaps_trainval2017.zip in `annotations` or a folder of that name. Their labels are the ids of COCO minus one,
0 .. 181, of which eleven never occur; 255 is not labelled and ignored. The masks of COCO-Stuff 10k are MATLAB files,
which are not read.
"""

from __future__ import annotations

from pathlib import Path

from deeplab.data.dataset import DataSet
from deeplab.data.formats._listing import folders_in, paired_folders, split_name
from deeplab.data.label_sets import COCO_STUFF
from deeplab.errors import DataError
from deeplab.images import color_map

__all__ = ["LAYOUT", "detect", "read"]

LAYOUT = "images/train2017/*.jpg and annotations/train2017/*.png"

MAPS = ("stuffthingmaps_trainval2017", "stuffthingmaps", "annotations/stuffthingmaps_trainval2017", "annotations")


def detect(root: Path) -> bool:
    """Whether `root` has maps of COCO's years."""
    return bool(_maps(root))


def read(root: Path) -> DataSet:
    """List `root`. Raises DataError for an image without a map, or a map without an image."""
    splits = {}
    for masks in _maps(root):
        images = next((path for base in ("images", ".") if (path := root / base / masks.name).is_dir()), None)
        if images is None:
            raise DataError(f"{masks}: no folder of its images; wanted {root / 'images' / masks.name}")
        splits[split_name(masks.name)] = paired_folders(images, masks)
    if not splits:
        raise DataError(f"{root}: no maps; wanted {LAYOUT}")
    return DataSet(root, COCO_STUFF, color_map(len(COCO_STUFF)), splits)


def _maps(root: Path) -> list[Path]:
    """The folders of the first place that has some of a year, as train2017."""
    places = ([folder for folder in folders_in(root / place) if folder.name.endswith("2017")] for place in MAPS)
    return next(filter(None, places), [])
