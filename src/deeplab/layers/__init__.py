"""The blocks that the papers share: convolution with its padding rule, ASPP, the bilinear resize of tensors."""

from deeplab.layers.aspp import ASPP, ATROUS_RATES
from deeplab.layers.conv import (
    Activation,
    BatchNorm,
    BatchNormAct,
    Classify,
    ConvNormAct,
    MaxPool,
    PaddedConv,
    Padding,
    SeparableConv,
    use_group_norm,
    use_sync_norm,
)
from deeplab.layers.dense_prediction_cell import DensePredictionCell
from deeplab.layers.folding import folded
from deeplab.layers.prepare import Prepare
from deeplab.layers.resize import rescale, resize
from deeplab.layers.work import Work, counted

__all__ = [
    "ASPP",
    "ATROUS_RATES",
    "Activation",
    "BatchNorm",
    "BatchNormAct",
    "Classify",
    "ConvNormAct",
    "DensePredictionCell",
    "MaxPool",
    "PaddedConv",
    "Padding",
    "Prepare",
    "SeparableConv",
    "Work",
    "counted",
    "folded",
    "rescale",
    "resize",
    "use_group_norm",
    "use_sync_norm",
]
