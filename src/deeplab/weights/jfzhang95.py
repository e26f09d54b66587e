"""DeepLab v3+ on ResNet-101 from jfzhang95/pytorch-deeplab-xception."""

from __future__ import annotations

from typing import Any

from deeplab.weights._ports import RESNET, pooling_first, resnet_name
from deeplab.weights._source import Source, Tensors

__all__ = ["convert", "source"]

RULES = (
    *((rf"backbone\.{theirs}", ours) for theirs, ours in RESNET),
    (r"aspp\.aspp1\.atrous_conv\.", "aspp.pointwise.conv."),
    (r"aspp\.aspp1\.bn\.", "aspp.pointwise.norm."),
    *(
        (rf"aspp\.aspp{branch + 2}\.{theirs}\.", f"aspp.atrous.{branch}.{ours}.")
        for branch in (0, 1, 2)
        for theirs, ours in (("atrous_conv", "conv"), ("bn", "norm"))
    ),
    (r"aspp\.global_avg_pool\.1\.", "aspp.image_pooling.conv."),
    (r"aspp\.global_avg_pool\.2\.", "aspp.image_pooling.norm."),
    (r"aspp\.conv1\.", "aspp.project.conv."),
    (r"aspp\.bn1\.", "aspp.project.norm."),
    (r"decoder\.conv1\.", "decoder.0.reduce.conv."),
    (r"decoder\.bn1\.", "decoder.0.reduce.norm."),
    (r"decoder\.last_conv\.0\.", "decoder.0.decode.0.conv."),
    (r"decoder\.last_conv\.1\.", "decoder.0.decode.0.norm."),
    (r"decoder\.last_conv\.4\.", "decoder.0.decode.1.conv."),
    (r"decoder\.last_conv\.5\.", "decoder.0.decode.1.norm."),
    (r"decoder\.last_conv\.8\.", "classify."),
)


def network(tensors: Tensors) -> dict[str, Any]:
    return {
        "name": "deeplabv3plus",
        "backbone": resnet_name(tensors),
        "multi_grid": (1, 2, 4),
        "dilate_first": True,
        "aspp_separable": False,
        "decoder_separable": False,
        "pad_to_grid": False,
    }


source = Source(title="jfzhang95's DeepLab v3+ on ResNet", rules=RULES, network=network, arrange=pooling_first)

convert = source.convert
