"""What a training starts from: a name, a file of ours, or another system's file as it is."""

from __future__ import annotations

from pathlib import Path

from deeplab import checkpoints
from deeplab.checkpoints import Checkpoint
from deeplab.errors import CheckpointError
from deeplab.weights._shipped import find
from deeplab.weights._sources import convert
from deeplab.weights._state import read_once
from deeplab.weights.encoders import encoder
from deeplab.weights.tflite import convert_backbone


def start_from(name_or_path: str | Path, *, backbone: str) -> Checkpoint:
    """What a training starts from: a model that `find` knows, or a file of another system, of its segmentation model or
    of its classifier of images.

    Args:
        backbone: That of the new model; it tells which one of timm's a file holds.

    Raises:
        DeepLabError: As `find`.
        CheckpointError: The file cannot be read, or is of nothing that we know.
    """
    path = find(name_or_path)
    if checkpoints.is_ours(path):
        return checkpoints.load(path)
    if backbone.startswith("timm/"):
        return encoder(path, backbone=backbone)
    classifier = convert_backbone if path.suffix == ".tflite" else encoder
    with read_once():
        try:
            return classifier(path)
        except CheckpointError:
            return convert(path).checkpoint
