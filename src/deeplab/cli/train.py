"""`deeplab train DATA`"""

from __future__ import annotations

import logging
import sys

from deeplab import api
from deeplab.settings import TrainSettings
from deeplab.training.processes import is_first


def train(settings: TrainSettings) -> None:
    """Train on a data set: a folder of images and masks, or one in a known format."""
    logger, handler = logging.getLogger("deeplab"), logging.StreamHandler(sys.stderr)
    logger.setLevel(logging.INFO if is_first() else logging.WARNING)
    logger.addHandler(handler)
    try:
        best = api.train(**{**settings.as_dict(), "config": None})
    finally:
        logger.removeHandler(handler)
    if is_first():
        print(f"the best model is {best}; try it: deeplab segment photo.jpg --model {best}")
