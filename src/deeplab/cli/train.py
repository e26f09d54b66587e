"""`deeplab train DATA`"""

from __future__ import annotations

import logging
import sys

from deeplab import api
from deeplab.settings import TrainSettings
from deeplab.training.processes import is_first


def train(settings: TrainSettings) -> None:
    """Train a model on images and masks. Data sets in a known format are read as they are."""
    logger, handler = logging.getLogger("deeplab"), logging.StreamHandler(sys.stderr)
    logger.setLevel(logging.INFO if is_first() else logging.WARNING)
    logger.addHandler(handler)
    try:
        best = api.train_as(settings)
    finally:
        logger.removeHandler(handler)
    if is_first():
        print(f"the best model is {best}; try it: deeplab segment photo.jpg --model {best}")
