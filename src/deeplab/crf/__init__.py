"""Conditional random fields that sharpen a segmentation along the edges of its image."""

from deeplab.crf.crf_rnn import CRFRNN
from deeplab.crf.dense_crf import DenseCRF
from deeplab.crf.field import Terms
from deeplab.crf.files import open_crf, save_crf
from deeplab.crf.pairwise import PRESETS, Normalization, PairwiseKernel

__all__ = [
    "CRFRNN",
    "PRESETS",
    "DenseCRF",
    "Normalization",
    "PairwiseKernel",
    "Terms",
    "open_crf",
    "save_crf",
]
