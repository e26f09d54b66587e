"""DeepLab v3 from torchvision: `deeplabv3_resnet50`, `deeplabv3_resnet101`, `deeplabv3_mobilenet_v3_large`.

The published weights know the classes of PASCAL VOC but saw COCO. The auxiliary classifier, which only training uses,
is left behind.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from importlib import import_module
from typing import Any

from torch import nn

from deeplab.models import SegmentationModel
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
    """Its rates are 12, 24, 36 on MobileNetV3 as well, at stride 16."""
    options = {"name": "deeplabv3", "head_conv": True, "align_corners": False, **IMAGENET}
    if "backbone.last.conv.weight" in tensors:
        backbone = {"backbone": mobilenetv3_name(tensors), "dilate_first": True, "gate_slope": 1 / 6}
        return {**backbone, "output_stride": 16, "atrous_rates": (12, 24, 36), **options}
    return {"backbone": resnet_name(tensors), "output_stride": 8, **options}


ORIGINALS = {
    ("resnet50", 8): "deeplabv3_resnet50",
    ("resnet101", 8): "deeplabv3_resnet101",
    ("mobilenetv3_large", 16): "deeplabv3_mobilenet_v3_large",
}
"""Its functions, by our backbone and output stride."""


def original(tensors: Tensors, model: SegmentationModel) -> nn.Module | None:
    name = ORIGINALS.get((model.arguments["backbone"], model.arguments["output_stride"]))
    if name is None:
        return None
    build: Callable[..., nn.Module] = getattr(import_module("torchvision.models.segmentation"), name)
    return build(
        weights=None,
        weights_backbone=None,
        num_classes=len(tensors["classifier.4.bias"]),
        aux_loss=any(name.startswith("aux_classifier.") for name in tensors),
    )


source = Source(
    title="torchvision's DeepLab v3 on ResNet or MobileNetV3",
    rules=rules,
    network=network,
    arrange=pooling_first,
    left_behind=(r"aux_classifier\.",),
    original=original,
)

convert = source.convert
