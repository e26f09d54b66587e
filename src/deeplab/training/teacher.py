"""Distillation: the probabilities that another model gives every training image, computed once."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from deeplab import checkpoints
from deeplab.checkpoints import Checkpoint
from deeplab.data import DataSet
from deeplab.errors import SettingsError
from deeplab.files import written_aside
from deeplab.images import resize_image
from deeplab.training.batches import Photos, shrunk
from deeplab.training.task import to_float
from deeplab.weights import find

__all__ = ["Probabilities", "ask", "load"]

logger = logging.getLogger(__name__)

STRIDE = 4
"""The probabilities are stored at the image's size over this; the networks' own stride is 8 or 16."""


@dataclass(frozen=True)
class Probabilities:
    """A teacher's probabilities by the index of the photo, from the files in `folder`."""

    folder: Path

    def file(self, index: int) -> Path:
        """Where those of one photo are: float16 (num_classes, h, w)."""
        return self.folder / f"{index:06d}.npy"

    def __call__(self, index: int) -> Tensor:
        return torch.from_numpy(np.load(self.file(index)))


def load(name: str, dataset: DataSet) -> Checkpoint:
    """The teacher of this name or path.

    Raises:
        SettingsError: Its classes are not those of the data set.
    """
    checkpoint = checkpoints.load(find(name))
    if checkpoint.classes != dataset.classes:
        raise SettingsError(
            f"the teacher {name} knows {_some(checkpoint.classes)} but {dataset.root} has {_some(dataset.classes)}; "
            "take a teacher of the same classes in the same order"
        )
    return checkpoint


def ask(checkpoint: Checkpoint, photos: Photos, folder: Path, *, device: str) -> Probabilities:
    """Compute what is not in `folder` yet: the mean over each image and its mirror image."""
    probabilities = Probabilities(folder)
    missing = [index for index in range(len(photos)) if not probabilities.file(index).exists()]
    logger.info("asking the teacher about %d images", len(missing))
    model = checkpoint.model.to(device)
    for index in missing:
        image = photos[index][0]
        seen = resize_image(image, shrunk(image.shape[:2], checkpoint.preprocessing.long_side))
        size = -(-image.shape[0] // STRIDE), -(-image.shape[1] // STRIDE)
        mean = _probabilities(model, torch.from_numpy(seen).permute(2, 0, 1)[None].to(device), size)
        with written_aside(probabilities.file(index)) as aside:
            np.save(aside, mean.half().cpu().numpy())
    return probabilities


@torch.inference_mode()
def _probabilities(model: nn.Module, image: Tensor, size: tuple[int, int]) -> Tensor:
    """uint8 (1, 3, H, W) -> float (num_classes, *size), the mean of every cell."""
    plain = model(to_float(image)).softmax(dim=1)
    mirrored = model(to_float(image.flip(-1))).softmax(dim=1).flip(-1)
    return functional.adaptive_avg_pool2d((plain + mirrored) / 2, size)[0]


def _some(classes: tuple[str, ...]) -> str:
    return f"{len(classes)} classes ({', '.join(classes[:3])}{', ...' if len(classes) > 3 else ''})"
