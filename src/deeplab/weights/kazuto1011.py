"""DeepLab v2 on ResNet-101 from kazuto1011/deeplab-pytorch, which holds the authors' Caffe weights too.

Its networks for VOC, Cityscapes and COCO-Stuff differ in the number of classes only.
"""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor

from deeplab.weights._ports import PARTS
from deeplab.weights._source import Rules, Source, Tensors, combined

__all__ = ["convert", "source"]

UNIT = r"(?:base\.)?layer([2-5])\.block(\d+)\."


def _unit(found: re.Match[str]) -> str:
    """Units count from 1 there."""
    return f"backbone.res{found[1]}.{int(found[2]) - 1}."


RULES: Rules = (
    (r"(?:base\.)?layer1\.conv1\.bn\.", "backbone.stem.norm."),
    (r"(?:base\.)?layer1\.conv1\.", "backbone.stem."),
    *combined(
        [(UNIT, _unit)],
        [
            (rf"{theirs}\.{kind}\.", f"{ours}.{our_kind}.")
            for theirs, ours in (("reduce", "conv1"), ("conv3x3", "conv2"), ("increase", "conv3"), ("shortcut",) * 2)
            for kind, our_kind in PARTS
        ],
    ),
    (r"(?:base\.)?aspp\.c(\d)\.", r"classify.\1."),
)

BGR_MEAN = (104.008, 116.669, 122.675)
"""Subtracted from the image in BGR, 0 .. 255 (its configs/voc12.yaml)."""


def network(tensors: Tensors) -> dict[str, Any]:
    """It sees the scales 0.5, 0.75 and 1, as the authors' networks."""
    return {
        "name": "deeplabv2",
        "backbone": "resnet101",
        "stride_in": "1x1",
        "padding": "caffe",
        "output_stride": 8,
        "scales": (0.5, 0.75, 1.0),
        "align_corners": False,
        "image_mean": [value / 255 for value in BGR_MEAN[::-1]],
        "image_std": [1 / 255] * 3,
    }


def arrange(tensors: Tensors) -> dict[str, Tensor]:
    """Its first convolution reads BGR, ours RGB."""
    name = "backbone.stem.conv.weight"
    return {**tensors, name: tensors[name].flip(1)}


source = Source(title="DeepLab v2 of kazuto1011/deeplab-pytorch", rules=RULES, network=network, arrange=arrange)

convert = source.convert
