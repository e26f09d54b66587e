"""DeepLab v3+ on ResNet from VainF/DeepLabV3Plus-Pytorch: `deeplabv3plus_resnet50`, `deeplabv3plus_resnet101`."""

from __future__ import annotations

from typing import Any

from deeplab.weights._ports import RESNET, aspp_rules, pooling_first_detail_last, resnet_name
from deeplab.weights._source import Source, Tensors

__all__ = ["convert", "source"]

RULES = (
    *((rf"backbone\.{theirs}", ours) for theirs, ours in RESNET),
    (r"classifier\.project\.0\.", "decoder.0.reduce.conv."),
    (r"classifier\.project\.1\.", "decoder.0.reduce.norm."),
    *aspp_rules("classifier.aspp"),
    (r"classifier\.classifier\.0\.", "decoder.0.decode.0.conv."),
    (r"classifier\.classifier\.1\.", "decoder.0.decode.0.norm."),
    (r"classifier\.classifier\.3\.", "classify."),
)


def network(tensors: Tensors) -> dict[str, Any]:
    return {
        "name": "deeplabv3plus",
        "backbone": resnet_name(tensors),
        "aspp_separable": False,
        "decoder_separable": False,
        "decoder_convs": 1,
        "align_corners": False,
    }


source = Source(title="VainF's DeepLab v3+ on ResNet", rules=RULES, network=network, arrange=pooling_first_detail_last)

convert = source.convert
