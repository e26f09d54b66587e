"""DeepLab v3+ on ResNet from detectron2's projects/DeepLab, R_101 and R_103, as published for Cityscapes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from deeplab.checkpoints import Checkpoint
from deeplab.models import create_model
from deeplab.weights._state import count_classes, finished, pooling_first, read_state, renamed, resnet_name

__all__ = ["convert", "from_state"]

ASPP = r"sem_seg_head\.decoder\.res5\.project_conv\."

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
    (r"sem_seg_head\.decoder\.res2\.project_conv", "reduce"),
    *((rf"sem_seg_head\.decoder\.res2\.fuse_conv\.{index}", f"decode.{index}") for index in (0, 1)),
)

RULES = (
    *((rf"{theirs}\.norm\.", f"{ours}.norm.") for theirs, ours in LAYERS),
    *((rf"{theirs}\.weight$", f"{ours}.conv.weight") for theirs, ours in LAYERS),
    (rf"{ASPP}convs\.4\.1\.", "aspp.image_pooling.0."),
    (r"sem_seg_head\.predictor\.", "classify."),
)

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""Of RGB in 0 .. 255 (its configs/Cityscapes-SemanticSegmentation/Base-DeepLabV3-OS16-Semantic.yaml)."""


def convert(path: str | Path) -> Checkpoint:
    """The model in the file `path`, a .pkl as published or a .pth, at output stride 16, multi-grid 1, 2, 4.

    Raises:
        InputNotFoundError: There is no such file.
        CheckpointError: It cannot be read, or is no DeepLab v3+ on ResNet of that project.
    """
    path = Path(path)
    return from_state(read_state(path), what=str(path))


def from_state(state: Mapping[str, Tensor], *, what: str) -> Checkpoint:
    """The model with these tensors. See `convert`; `what` names them in an error."""
    tensors = renamed(state, RULES, what=what)
    num_classes = count_classes(tensors, what=what, wanted="detectron2's DeepLab v3+ on ResNet")
    model = create_model(
        "deeplabv3plus",
        backbone=resnet_name(tensors, what=what),
        stem_channels=(64, 64, 128),
        multi_grid=(1, 2, 4),
        dilate_first=True,
        num_classes=num_classes,
        image_mean=[value / 255 for value in MEAN],
        image_std=[value / 255 for value in STD],
        aspp_separable=False,
        decoder_separable=False,
        pooling_norm=False,
        align_corners=False,
    )
    low_level = tensors["reduce.conv.weight"].shape[0]  # first in that decoder's concatenation, last in ours
    tensors["decode.0.conv.weight"] = tensors["decode.0.conv.weight"].roll(-low_level, dims=1)
    return finished(model, pooling_first(tensors), what=what)
