"""CamVid (Brostow et al., Pattern Recognition Letters 2009) in 11 classes: as SegNet has it, and in 32 colours.

- SegNet (arXiv 1511.00561): train/*.png and trainannot/*.png of class indices, and so val and test (367, 101 and 233
  images); 11 is void and ignored.
- By splits in colours: train/*.png and train_labels/*_L.png.
- The original: 701_StillsRaw_full/*.png and LabeledApproved_full/*_L.png, without splits: all of it is train.

The 32 colours become the 11 classes as usual: bicyclists with motorcyclists, children and animals with pedestrians,
every vehicle with the cars; Void is ignored.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deeplab.data.dataset import DataSet
from deeplab.data.formats._listing import has_folder, named_splits, paired_folders
from deeplab.data.regroup import regroup
from deeplab.data.sample import Sample
from deeplab.errors import DataError

__all__ = ["LAYOUT", "detect", "read"]

LAYOUT = "train/*.png and trainannot/*.png, train_labels/*_L.png or LabeledApproved_full/*_L.png"

CLASSES = {
    "Sky": (128, 128, 128),
    "Building": (128, 0, 0),
    "Pole": (192, 192, 128),
    "Road": (128, 64, 128),
    "Pavement": (60, 40, 222),
    "Tree": (128, 128, 0),
    "SignSymbol": (192, 128, 128),
    "Fence": (64, 64, 128),
    "Car": (64, 0, 128),
    "Pedestrian": (64, 64, 0),
    "Bicyclist": (0, 128, 192),
}
"""SegNet's, with its colours."""

COLORS = {
    "Animal": (64, 128, 64),
    "Archway": (192, 0, 128),
    "Bicyclist": (0, 128, 192),
    "Bridge": (0, 128, 64),
    "Building": (128, 0, 0),
    "Car": (64, 0, 128),
    "CartLuggagePram": (64, 0, 192),
    "Child": (192, 128, 64),
    "Column_Pole": (192, 192, 128),
    "Fence": (64, 64, 128),
    "LaneMkgsDriv": (128, 0, 192),
    "LaneMkgsNonDriv": (192, 0, 64),
    "Misc_Text": (128, 128, 64),
    "MotorcycleScooter": (192, 0, 192),
    "OtherMoving": (128, 64, 64),
    "ParkingBlock": (64, 192, 128),
    "Pedestrian": (64, 64, 0),
    "Road": (128, 64, 128),
    "RoadShoulder": (128, 128, 192),
    "Sidewalk": (0, 0, 192),
    "SignSymbol": (192, 128, 128),
    "Sky": (128, 128, 128),
    "SUVPickupTruck": (64, 128, 192),
    "TrafficCone": (0, 0, 64),
    "TrafficLight": (0, 64, 64),
    "Train": (192, 64, 128),
    "Tree": (128, 128, 0),
    "Truck_Bus": (192, 128, 192),
    "Tunnel": (64, 0, 64),
    "VegetationMisc": (192, 192, 0),
    "Void": (0, 0, 0),
    "Wall": (64, 192, 0),
}
"""Of the original masks."""

GROUPS = {
    "Sky": "Sky",
    "Building": ("Building", "Archway", "Bridge", "Tunnel", "Wall"),
    "Pole": ("Column_Pole", "TrafficCone"),
    "Road": ("Road", "LaneMkgsDriv", "LaneMkgsNonDriv"),
    "Pavement": ("Sidewalk", "ParkingBlock", "RoadShoulder"),
    "Tree": ("Tree", "VegetationMisc"),
    "SignSymbol": ("SignSymbol", "Misc_Text", "TrafficLight"),
    "Fence": "Fence",
    "Car": ("Car", "OtherMoving", "SUVPickupTruck", "Train", "Truck_Bus"),
    "Pedestrian": ("Pedestrian", "Animal", "CartLuggagePram", "Child"),
    "Bicyclist": ("Bicyclist", "MotorcycleScooter"),
}
"""The original classes that each of the 11 is made of; Void is in none."""

ORIGINAL = ("701_StillsRaw_full", "LabeledApproved_full")


def detect(root: Path) -> bool:
    """Whether `root` has a folder of masks as one of the three has them."""
    return has_folder(root, "*annot", ORIGINAL[1]) or any(root.glob("*_labels/*_L.png"))


def read(root: Path) -> DataSet:
    """List `root`. Raises DataError for an image without a mask, or a mask without an image."""
    if splits := _read_splits(root, suffix="annot"):
        palette = np.array([*CLASSES.values(), COLORS["Void"]], np.uint8)
        return regroup(DataSet(root, (*CLASSES, "Void"), palette, splits), tuple(CLASSES))
    splits = _read_splits(root, suffix="_labels", ending="_L")
    if (root / ORIGINAL[1]).is_dir():
        splits["train"] = paired_folders(root / ORIGINAL[0], root / ORIGINAL[1], ending="_L")
    if not splits:
        raise DataError(f"{root}: no masks; wanted {LAYOUT}")
    palette = np.array(list(COLORS.values()), np.uint8)
    return regroup(DataSet(root, tuple(COLORS), palette, splits), GROUPS)


def _read_splits(root: Path, *, suffix: str, ending: str = "") -> dict[str, tuple[Sample, ...]]:
    masks = {folder.name.removesuffix(suffix): folder for folder in sorted(root.glob(f"?*{suffix}"))}
    parts = ((name, paired_folders(root / name, folder, ending=ending)) for name, folder in masks.items())
    return named_splits(parts, root)
