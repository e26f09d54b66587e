"""From an image to a segmentation: sizes, scales, mirror images, tiles, many files in a row; and why it came out so."""

from deeplab.inference.explain import Explanation, explain
from deeplab.inference.explain_page import write_explanation
from deeplab.inference.predictor import Segmenter, pick_device
from deeplab.inference.read_ahead import read_ahead

__all__ = ["Explanation", "Segmenter", "explain", "pick_device", "read_ahead", "write_explanation"]
