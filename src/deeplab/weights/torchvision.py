"""DeepLab v3 on ResNet from torchvision: `deeplabv3_resnet50`, `deeplabv3_resnet101`.

The published weights know the classes of PASCAL VOC but saw COCO. The auxiliary classifier, which only training uses,
is left behind.
"""

from __future__ import annotations

from typing import Any

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


source = Source(
    title="torchvision's DeepLab v3 on ResNet",
    rules=RULES,
    network=network,
    arrange=pooling_first,
    left_behind=(r"aux_classifier\.",),
)

convert = source.convert
