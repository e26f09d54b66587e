"""DeepLab v3 on ResNet from torchvision: `deeplabv3_resnet50`, `deeplabv3_resnet101`.

The published weights know the classes of PASCAL VOC but saw COCO. The auxiliary classifier, which only training uses,
is left behind.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from torch import nn

from deeplab.models import SegmentationModel
from deeplab.weights._ports import RESNET, aspp_rules, pooling_first, resnet_name
from deeplab.weights._source import Source, Tensors

__all__ = ["convert", "source"]

RULES = (
    *((rf"backbone\.{theirs}", ours) for theirs, ours in RESNET),
    *aspp_rules("classifier.0"),
    (r"classifier\.1\.", "refine.conv."),
    (r"classifier\.2\.", "refine.norm."),
    (r"classifier\.4\.", "classify."),
)


def network(tensors: Tensors) -> dict[str, Any]:
    return {
        "name": "deeplabv3",
        "backbone": resnet_name(tensors),
        "output_stride": 8,
        "atrous_rates": (12, 24, 36),
        "head_conv": True,
        "align_corners": False,
    }


def original(tensors: Tensors, model: SegmentationModel) -> nn.Module | None:
    arguments = model.arguments
    if arguments["output_stride"] != 8 or arguments["backbone"] not in ("resnet50", "resnet101"):
        return None
    segmentation = import_module("torchvision.models.segmentation")
    build: Callable[..., nn.Module] = getattr(segmentation, f"deeplabv3_{arguments['backbone']}")
    return build(
        weights=None,
        weights_backbone=None,
        num_classes=arguments["num_classes"],
        aux_loss=any(name.startswith("aux_classifier.") for name in tensors),
    )


source = Source(
    title="torchvision's DeepLab v3 on ResNet",
    rules=RULES,
    network=network,
    arrange=pooling_first,
    left_behind=(r"aux_classifier\.",),
    original=original,
)

convert = source.convert
