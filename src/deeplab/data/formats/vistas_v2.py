"""Mapillary Vistas with the labels of version 2.0, 124 classes; see `_vistas.py`."""

from __future__ import annotations

from pathlib import Path

from deeplab.data.dataset import DataSet
from deeplab.data.formats._vistas import is_vistas, read_vistas

__all__ = ["LAYOUT", "detect", "read"]

LAYOUT = "config_v2.0.json, training/images/*.jpg and training/v2.0/labels/*.png"

CONFIGS = ("config_v2.0.json",)


def detect(root: Path) -> bool:
    """Whether `root` has the class list of this version."""
    return is_vistas(root, configs=CONFIGS)


def read(root: Path) -> DataSet:
    """List `root`. Raises DataError as `read_vistas`."""
    return read_vistas(root, configs=CONFIGS, labels=("v2.0/labels",), layout=LAYOUT)
