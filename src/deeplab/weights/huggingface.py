"""DeepLab v3 on MobileNetV2 from Hugging Face transformers: `MobileNetV2ForSemanticSegmentation`.

Those are Google's official checkpoints, as google/deeplabv3_mobilenet_v2_1.0_513. The 1 x 1 to 1280 channels, which
only the classifier of images reads, is left behind.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from torch import nn

from deeplab.models import SegmentationModel
from deeplab.weights._ports import mobilenetv2_multiplier
from deeplab.weights._source import Source, Tensors

__all__ = ["convert", "source"]

PARTS = (("convolution", "conv"), ("normalization", "norm"))

RULES = (
    *(
        (rf"{theirs}\.{kind}\.", f"{ours}.{our_kind}.")
        for theirs, ours in (
            (r"mobilenet_v2\.conv_stem\.first_conv", "backbone.stem"),
            (r"mobilenet_v2\.conv_stem\.conv_3x3", "backbone.blocks.0.depthwise"),
            (r"mobilenet_v2\.conv_stem\.reduce_1x1", "backbone.blocks.0.project"),
            (r"segmentation_head\.conv_pool", "aspp.image_pooling"),
            (r"segmentation_head\.conv_aspp", "aspp.pointwise"),
            (r"segmentation_head\.conv_projection", "aspp.project"),
        )
        for kind, our_kind in PARTS
    ),
    *(
        (rf"mobilenet_v2\.layer\.{unit}\.{theirs}\.{kind}\.", f"backbone.blocks.{unit + 1}.{ours}.{our_kind}.")
        for unit in range(16)
        for theirs, ours in (("expand_1x1", "expand"), ("conv_3x3", "depthwise"), ("reduce_1x1", "project"))
        for kind, our_kind in PARTS
    ),
    (r"segmentation_head\.classifier\.convolution\.", "classify."),
)


def network(tensors: Tensors) -> dict[str, Any]:
    return {
        "name": "deeplabv3",
        "backbone": "mobilenetv2",
        "depth_multiplier": mobilenetv2_multiplier(tensors),
        "padding": "same",
        "atrous_rates": (),
        "pad_to_grid": False,
    }


def original(tensors: Tensors, model: SegmentationModel) -> nn.Module | None:
    transformers = import_module("transformers")
    network: nn.Module = transformers.MobileNetV2ForSemanticSegmentation(
        transformers.MobileNetV2Config(
            depth_multiplier=model.arguments["depth_multiplier"],
            output_stride=model.arguments["output_stride"],
            num_labels=len(tensors["segmentation_head.classifier.convolution.bias"]),
        )
    )
    return network


source = Source(
    title="MobileNetV2ForSemanticSegmentation of Hugging Face transformers",
    rules=RULES,
    network=network,
    left_behind=(r"mobilenet_v2\.conv_1x1\.",),
    long_side=lambda _: 513,
    original=original,
)

convert = source.convert
