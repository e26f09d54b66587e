"""DeepLab v3+ on ResNet-101, Xception and MobileNetV2 from jfzhang95/pytorch-deeplab-xception."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from deeplab.weights._ports import IMAGENET, PARTS, RESNET, mobilenetv2_rules, pooling_first, resnet_name
from deeplab.weights._source import Rules, Source, Tensors, combined

__all__ = ["convert", "source"]


def _shortcut(found: re.Match[str]) -> str:
    return f"backbone.blocks.{int(found[1]) - 1}.shortcut."


def _conv(found: re.Match[str]) -> str:
    """Activations and normalisations are layers of a unit there: a convolution is every third."""
    return f"backbone.blocks.{int(found[1]) - 1}.convs.{int(found[2]) // 3}."


def _last_conv(found: re.Match[str]) -> str:
    """The last unit is no module there."""
    return f"backbone.blocks.20.convs.{int(found[1]) - 3}."


SEPARABLE = ((r"conv1\.", "depthwise.conv."), (r"bn\.", "depthwise.norm."), (r"pointwise\.", "pointwise.conv."))

XCEPTION: Rules = (
    *(
        (rf"backbone\.{theirs}{layer + 1}\.", f"backbone.stem.{layer}.{ours}.")
        for layer in (0, 1)
        for theirs, ours in PARTS
    ),
    *combined([(r"backbone\.block(\d+)\.", _shortcut)], [(r"skip\.", "conv."), (r"skipbn\.", "norm.")]),
    *combined([(r"backbone\.block(\d+)\.rep\.(\d+)\.", _conv)], [*SEPARABLE, ("", "pointwise.norm.")]),
    *combined([(r"backbone\.conv([345])\.", _last_conv)], SEPARABLE),
    *combined([(r"backbone\.bn([345])\.", _last_conv)], [("", "pointwise.norm.")]),
)

RESNET_101 = tuple((rf"backbone\.{theirs}", ours) for theirs, ours in RESNET)

HEAD = (
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


MOBILENETV2 = tuple(mobilenetv2_rules(r"backbone\.features\.", flat=True))


def rules(found: Collection[str]) -> Rules:
    if "backbone.features.0.0.weight" in found:
        return (*MOBILENETV2, *HEAD)
    return (*(XCEPTION if "backbone.conv2.weight" in found else RESNET_101), *HEAD)


def network(tensors: Tensors) -> dict[str, Any]:
    network = {
        "name": "deeplabv3plus",
        "aspp_separable": False,
        "decoder_separable": False,
        "pad_to_grid": False,
        **IMAGENET,
    }
    if "backbone.blocks.0.project.conv.weight" in tensors:
        dilated = {"stage_dilation": "before", "pad_block_input": True}
        return {"backbone": "mobilenetv2", "detail": "output", "norm_eps": 1e-5, **dilated, **network}
    if "backbone.stem.0.conv.weight" in tensors:
        return {"backbone": "xception65", "wiring": "jfzhang95", "norm_eps": 1e-5, **network}
    return {"backbone": resnet_name(tensors), "multi_grid": (1, 2, 4), "dilate_first": True, **network}


source = Source(
    title="jfzhang95's DeepLab v3+ on ResNet, Xception or MobileNetV2",
    rules=rules,
    network=network,
    arrange=pooling_first,
    left_behind=(r"backbone\.(low|high)_level_features\.",),
)
"""Those two are slices of MobileNetV2's `features`, which its files have as well."""

convert = source.convert
