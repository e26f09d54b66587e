"""DeepLab v3 and v3+ on ResNet from detectron2's projects/DeepLab, R_103, as published for Cityscapes.

Image pooling takes its mean over windows of the training's crops, 512 x 1024 in every configuration there; images that
are no larger are seen whole.
"""

from __future__ import annotations

from typing import Any

from deeplab.weights._ports import has_decoder, pooling_first_detail_last, resnet_name
from deeplab.weights._source import Source, Tensors

__all__ = ["convert", "source"]

ASPP = r"sem_seg_head\.(?:decoder\.res5\.project_conv|aspp)\."

LAYERS = (
    *((rf"backbone\.stem\.conv{index + 1}", f"backbone.stem.{index}") for index in (0, 1, 2)),
    *(
        (rf"backbone\.res{stage}\.(\d+)\.{layer}", rf"backbone.res{stage}.\1.{layer}")
        for stage in (2, 3, 4, 5)
        for layer in ("conv1", "conv2", "conv3", "shortcut")
    ),
    (rf"{ASPP}convs\.0", "aspp.pointwise"),
    *((rf"{ASPP}convs\.{branch + 1}", f"aspp.atrous.{branch}") for branch in (0, 1, 2)),
    (rf"{ASPP}project", "aspp.project"),
    (r"sem_seg_head\.decoder\.res2\.project_conv", "decoder.0.reduce"),
    *((rf"sem_seg_head\.decoder\.res2\.fuse_conv\.{index}", f"decoder.0.decode.{index}") for index in (0, 1)),
)

RULES = (
    *((rf"{theirs}\.norm\.", f"{ours}.norm.") for theirs, ours in LAYERS),
    *((rf"{theirs}\.weight$", f"{ours}.conv.weight") for theirs, ours in LAYERS),
    (rf"{ASPP}convs\.4\.1\.", "aspp.image_pooling.0."),
    (r"sem_seg_head\.predictor\.", "classify."),
)

CROP = (512, 1024)
"""INPUT.CROP.SIZE of its configs/Cityscapes-SemanticSegmentation/Base-DeepLabV3-OS16-Semantic.yaml."""

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""Of RGB in 0 .. 255 (deeplab_v3_plus_R_103_os16_mg124_poly_90k_bs16.yaml there)."""


def network(tensors: Tensors) -> dict[str, Any]:
    plus = has_decoder(tensors)
    return {
        "name": "deeplabv3plus" if plus else "deeplabv3",
        **({"decoder_separable": False} if plus else {}),
        "backbone": resnet_name(tensors),
        "stem_channels": (64, 64, 128),
        "multi_grid": (1, 2, 4),
        "dilate_first": True,
        "image_mean": [value / 255 for value in MEAN],
        "image_std": [value / 255 for value in STD],
        "aspp_separable": False,
        "pooling_norm": False,
        "pooling_align_corners": False,
        "image_pooling_crop_size": CROP,
        "align_corners": False,
    }


source = Source(
    title="detectron2's DeepLab v3 or v3+ on ResNet", rules=RULES, network=network, arrange=pooling_first_detail_last
)

convert = source.convert
