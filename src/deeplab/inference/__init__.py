"""From an image to a segmentation: sizes, scales, mirror images, tiles, many files in a row."""

from deeplab.inference.predictor import Segmenter, pick_device
from deeplab.inference.read_ahead import read_ahead

__all__ = ["Segmenter", "pick_device", "read_ahead"]
