"""DeepLab v3 and v3+ on ResNet and MobileNetV2 from segmentation-models-pytorch: `DeepLabV3("resnet50", ...)`,
`DeepLabV3Plus("mobilenet_v2", ...)`."""

from __future__ import annotations

from collections.abc import Collection
from importlib import import_module
from typing import Any

from torch import nn

from deeplab.models import SegmentationModel
from deeplab.weights._ports import (
    IMAGENET,
    RESNET,
    aspp_rules,
    has_decoder,
    mobilenetv2_rules,
    pooling_first,
    resnet_name,
)
from deeplab.weights._source import Rules, Source, Tensors

__all__ = ["convert", "source"]

ENCODER = (
    *((rf"encoder\.{theirs}", ours) for theirs, ours in RESNET),
    *mobilenetv2_rules(r"encoder\.features\."),
)

PLUS = (
    (r"decoder\.aspp\.1\.0\.", "refine.depthwise."),
    (r"decoder\.aspp\.1\.1\.", "refine.pointwise.conv."),
    (r"decoder\.aspp\.2\.", "refine.pointwise.norm."),
    (r"decoder\.block1\.0\.", "decoder.0.reduce.conv."),
    (r"decoder\.block1\.1\.", "decoder.0.reduce.norm."),
    (r"decoder\.block2\.0\.0\.", "decoder.0.decode.0.depthwise."),
    (r"decoder\.block2\.0\.1\.", "decoder.0.decode.0.pointwise.conv."),
    (r"decoder\.block2\.1\.", "decoder.0.decode.0.pointwise.norm."),
)

V3 = (
    (r"decoder\.(conv|1)\.", "refine.conv."),
    (r"decoder\.(bn|2)\.", "refine.norm."),
)
"""By name in its newer versions, by number in its older ones."""


def rules(found: Collection[str]) -> Rules:
    known = ("decoder.aspp.0", "decoder.0", "decoder.aspp")
    aspp = next((name for name in known if f"{name}.project.0.weight" in found), known[-1])
    plus = "decoder.block1.0.weight" in found
    return (
        *ENCODER,
        *aspp_rules(aspp, separable=f"{aspp}.convs.1.0.0.weight" in found),
        *(PLUS if plus else V3),
        (r"segmentation_head\.0\.", "classify."),
    )


def network(tensors: Tensors) -> dict[str, Any]:
    """Its rates are 12, 24, 36 at any output stride, which is 16 for v3+ and 8 for v3 unless it was told."""
    options: dict[str, Any] = {
        "dilate_first": True,
        "atrous_rates": (12, 24, 36),
        "aspp_channels": len(tensors["aspp.pointwise.conv.weight"]),
        "aspp_separable": "aspp.atrous.0.depthwise.weight" in tensors,
        "head_conv": True,
        "pad_to_grid": False,
        **IMAGENET,
    }
    if "backbone.last.conv.weight" in tensors:
        options |= {"backbone": "mobilenetv2", "detail": "output", "norm_eps": 1e-5, "last_channels": 1280}
    else:
        options["backbone"] = resnet_name(tensors)
    if has_decoder(tensors):
        decoder = {"norm_between": False, "decoder_convs": 1, "decoder_channels": options["aspp_channels"]}
        return {"name": "deeplabv3plus", **decoder, **options}
    return {"name": "deeplabv3", "output_stride": 8, **options}


def original(tensors: Tensors, model: SegmentationModel) -> nn.Module | None:
    arguments = model.arguments
    if arguments["output_stride"] not in (8, 16) or "decoder.0.project.0.weight" in tensors:  # an older version's
        return None
    library = import_module("segmentation_models_pytorch")
    build = library.DeepLabV3Plus if model.entry == "deeplabv3plus" else library.DeepLabV3
    network: nn.Module = build(
        arguments["backbone"].replace("mobilenetv2", "mobilenet_v2"),
        encoder_weights=None,
        encoder_output_stride=arguments["output_stride"],
        in_channels=arguments["in_channels"],
        classes=len(tensors["segmentation_head.0.bias"]),
        decoder_channels=arguments["aspp_channels"],
        decoder_aspp_separable=arguments["aspp_separable"],
    )
    return network


source = Source(
    title="DeepLabV3 or DeepLabV3Plus on ResNet or MobileNetV2 of segmentation-models-pytorch",
    rules=rules,
    network=network,
    arrange=pooling_first,
    original=original,
    image_size=(96, 128),  # multiples of its output stride only
)

convert = source.convert
