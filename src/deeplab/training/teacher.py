"""Distillation: the probabilities that another model gives every training image, computed once."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from deeplab import checkpoints
from deeplab._words import number_of
from deeplab.checkpoints import Checkpoint
from deeplab.data import DataSet
from deeplab.errors import SettingsError
from deeplab.files import written_aside
from deeplab.inference import Segmenter
from deeplab.training.batches import Photos
from deeplab.weights import find

__all__ = ["Probabilities", "ask", "load"]

logger = logging.getLogger(__name__)

SCALES = (0.75, 1.0, 1.25)
"""The teacher sees every image at these scales, mirrored too, and knows better by it than by one look."""

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


def ask(
    checkpoint: Checkpoint, photos: Photos, probabilities: Probabilities, *, device: str, rank: int, world_size: int
) -> None:
    """Compute what is not there yet; of several processes each computes its share."""
    mine = range(rank, len(photos), world_size)
    missing = [index for index in mine if not probabilities.file(index).exists()]
    logger.info("asking the teacher about %d images", len(missing))
    segmenter = Segmenter(checkpoint, device=device, scales=SCALES, flip=True)
    for index in missing:
        known = torch.from_numpy(segmenter.probabilities(photos[index][0]))
        height, width = known.shape[-2:]
        mean = functional.adaptive_avg_pool2d(known, (-(-height // STRIDE), -(-width // STRIDE)))
        with written_aside(probabilities.file(index)) as aside:
            np.save(aside, mean.half().numpy())


def _some(classes: tuple[str, ...]) -> str:
    names = ", ".join(classes[:3]) + (", ..." if len(classes) > 3 else "")
    return f"{number_of(len(classes), 'class', 'classes')} ({names})"
