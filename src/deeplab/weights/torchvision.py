"""DeepLab v3 from torchvision: `deeplabv3_resnet50`, `deeplabv3_resnet101`, `deeplabv3_mobilenet_v3_large`.

The published weights know the classes of PASCAL VOC but saw COCO. The auxiliary classifier, which only training uses,
is left behind.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from deeplab.weights._ports import (
    IMAGENET,
    RESNET,
    aspp_rules,
    mobilenetv3_name,
    mobilenetv3_rules,
    pooling_first,
    resnet_name,
)
from deeplab.weights._source import Rules, Source, Tensors

__all__ = ["convert", "source"]

ENCODER = tuple((rf"backbone\.{theirs}", ours) for theirs, ours in RESNET)

HEAD = (
    *aspp_rules("classifier.0"),
    (r"classifier\.1\.", "refine.conv."),
    (r"classifier\.2\.", "refine.norm."),
    (r"classifier\.4\.", "classify."),
)


def rules(found: Collection[str]) -> Rules:
    resnet = "backbone.layer1.0.conv1.weight" in found
    return (*(ENCODER if resnet else mobilenetv3_rules(found, "backbone")), *HEAD)


def network(tensors: Tensors) -> dict[str, Any]:
    """Its rates are 12, 24, 36 at any output stride."""
    options = {"name": "deeplabv3", "atrous_rates": (12, 24, 36), "head_conv": True, "align_corners": False, **IMAGENET}
    if "backbone.last.conv.weight" in tensors:
        backbone = {"backbone": mobilenetv3_name(tensors), "dilate_first": True, "gate_slope": 1 / 6}
        return {**backbone, "output_stride": 16, **options}
    return {"backbone": resnet_name(tensors), "output_stride": 8, **options}


source = Source(
    title="torchvision's DeepLab v3 on ResNet or MobileNetV3",
    rules=rules,
    network=network,
    arrange=pooling_first,
    left_behind=(r"aux_classifier\.",),
)

convert = source.convert
