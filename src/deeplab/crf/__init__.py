"""Conditional random fields that sharpen a segmentation along the edges of its image."""

from deeplab.crf.dense_crf import PRESETS, DenseCRF, Normalization, PairwiseKernel, Terms
from deeplab.crf.files import open_crf, save_crf

__all__ = ["PRESETS", "DenseCRF", "Normalization", "PairwiseKernel", "Terms", "open_crf", "save_crf"]
