"""DeepLab v3 and v3+ on ResNet and MobileNetV2 from VainF/DeepLabV3Plus-Pytorch: `deeplabv3plus_mobilenet` ..."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from deeplab.weights._ports import (
    IMAGENET,
    RESNET,
    aspp_rules,
    has_decoder,
    mobilenetv2_rules,
    pooling_first_detail_last,
    resnet_name,
)
from deeplab.weights._source import Rules, Source, Tensors

__all__ = ["convert", "source"]

BACKBONE = (
    *((rf"backbone\.{theirs}", ours) for theirs, ours in RESNET),
    *mobilenetv2_rules(r"backbone\.(?:low|high)_level_features\."),
)

PLUS = (
    (r"classifier\.project\.0\.", "decoder.0.reduce.conv."),
    (r"classifier\.project\.1\.", "decoder.0.reduce.norm."),
    *aspp_rules("classifier.aspp"),
    (r"classifier\.classifier\.0\.", "decoder.0.decode.0.conv."),
    (r"classifier\.classifier\.1\.", "decoder.0.decode.0.norm."),
    (r"classifier\.classifier\.3\.", "classify."),
)

V3 = (
    *aspp_rules("classifier.classifier.0"),
    (r"classifier\.classifier\.1\.", "refine.conv."),
    (r"classifier\.classifier\.2\.", "refine.norm."),
    (r"classifier\.classifier\.4\.", "classify."),
)


def rules(found: Collection[str]) -> Rules:
    return (*BACKBONE, *(PLUS if "classifier.project.0.weight" in found else V3))


def network(tensors: Tensors) -> dict[str, Any]:
    options: dict[str, Any] = {"align_corners": False, **IMAGENET}
    if "backbone.blocks.0.depthwise.conv.weight" in tensors:
        padding = {"pad_image": False, "pad_block_input": True}
        options |= {"backbone": "mobilenetv2", "detail": "output", "norm_eps": 1e-5, **padding}
    else:
        options["backbone"] = resnet_name(tensors)
    if has_decoder(tensors):
        decoder = {"aspp_separable": False, "decoder_separable": False, "decoder_convs": 1}
        return {"name": "deeplabv3plus", **decoder, **options}
    return {"name": "deeplabv3", "head_conv": True, **options}


source = Source(
    title="VainF's DeepLab v3 or v3+ on ResNet or MobileNetV2",
    rules=rules,
    network=network,
    arrange=pooling_first_detail_last,
)

convert = source.convert
