"""DeepLab v3+ on ResNet from segmentation-models-pytorch: `DeepLabV3Plus("resnet50", ...)`."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from torch import nn

from deeplab.models import SegmentationModel
from deeplab.weights._ports import RESNET, pooling_first, resnet_name
from deeplab.weights._source import Source, Tensors

__all__ = ["convert", "source"]

RULES = (
    *((rf"encoder\.{theirs}", ours) for theirs, ours in RESNET),
    (r"decoder\.aspp\.0\.convs\.0\.0\.", "aspp.pointwise.conv."),
    (r"decoder\.aspp\.0\.convs\.0\.1\.", "aspp.pointwise.norm."),
    *(
        (rf"decoder\.aspp\.0\.convs\.{branch + 1}\.{theirs}\.", f"aspp.atrous.{branch}.{ours}.")
        for branch in (0, 1, 2)
        for theirs, ours in ((r"0\.0", "depthwise"), (r"0\.1", "pointwise.conv"), ("1", "pointwise.norm"))
    ),
    (r"decoder\.aspp\.0\.convs\.4\.1\.", "aspp.image_pooling.conv."),
    (r"decoder\.aspp\.0\.convs\.4\.2\.", "aspp.image_pooling.norm."),
    (r"decoder\.aspp\.0\.project\.0\.", "aspp.project.conv."),
    (r"decoder\.aspp\.0\.project\.1\.", "aspp.project.norm."),
    (r"decoder\.aspp\.1\.0\.", "refine.depthwise."),
    (r"decoder\.aspp\.1\.1\.", "refine.pointwise.conv."),
    (r"decoder\.aspp\.2\.", "refine.pointwise.norm."),
    (r"decoder\.block1\.0\.", "decoder.0.reduce.conv."),
    (r"decoder\.block1\.1\.", "decoder.0.reduce.norm."),
    (r"decoder\.block2\.0\.0\.", "decoder.0.decode.0.depthwise."),
    (r"decoder\.block2\.0\.1\.", "decoder.0.decode.0.pointwise.conv."),
    (r"decoder\.block2\.1\.", "decoder.0.decode.0.pointwise.norm."),
    (r"segmentation_head\.0\.", "classify."),
)


def network(tensors: Tensors) -> dict[str, Any]:
    """Its rates are 12, 24, 36 at any output stride."""
    return {
        "name": "deeplabv3plus",
        "backbone": resnet_name(tensors),
        "dilate_first": True,
        "atrous_rates": (12, 24, 36),
        "head_conv": True,
        "norm_between": False,
        "decoder_convs": 1,
        "pad_to_grid": False,
    }


def original(tensors: Tensors, model: SegmentationModel) -> nn.Module | None:
    arguments = model.arguments
    if arguments["output_stride"] not in (8, 16):
        return None
    network: nn.Module = import_module("segmentation_models_pytorch").DeepLabV3Plus(
        arguments["backbone"],
        encoder_weights=None,
        encoder_output_stride=arguments["output_stride"],
        in_channels=arguments["in_channels"],
        classes=arguments["num_classes"],
    )
    return network


source = Source(
    title="DeepLabV3Plus on ResNet of segmentation-models-pytorch",
    rules=RULES,
    network=network,
    arrange=pooling_first,
    original=original,
    image_size=(96, 128),  # multiples of its output stride only
)

convert = source.convert
