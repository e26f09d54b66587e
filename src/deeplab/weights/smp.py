"""DeepLab v3+ on ResNet from segmentation-models-pytorch: `DeepLabV3Plus("resnet50", ...)`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from deeplab.checkpoints import Checkpoint
from deeplab.models import create_model
from deeplab.weights._state import RESNET, count_classes, finished, pooling_first, read_state, renamed, resnet_name

__all__ = ["convert", "from_state"]

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
    (r"decoder\.block1\.0\.", "reduce.conv."),
    (r"decoder\.block1\.1\.", "reduce.norm."),
    (r"decoder\.block2\.0\.0\.", "decode.0.depthwise."),
    (r"decoder\.block2\.0\.1\.", "decode.0.pointwise.conv."),
    (r"decoder\.block2\.1\.", "decode.0.pointwise.norm."),
    (r"segmentation_head\.0\.", "classify."),
)


def convert(path: str | Path, *, output_stride: int = 16) -> Checkpoint:
    """The model in the file `path` of that library.

    Args:
        output_stride: As it was trained: the file does not say. The rates are 12, 24, 36 at any, its default.

    Raises:
        InputNotFoundError: There is no such file.
        CheckpointError: It cannot be read, or is no DeepLab v3+ on ResNet of that library.
    """
    path = Path(path)
    return from_state(read_state(path), output_stride=output_stride, what=str(path))


def from_state(state: Mapping[str, Tensor], *, output_stride: int = 16, what: str) -> Checkpoint:
    """The model with these tensors. See `convert`; `what` names them in an error."""
    tensors = renamed(state, RULES, what=what)
    num_classes = count_classes(tensors, what=what, wanted="DeepLabV3Plus on ResNet of segmentation-models-pytorch")
    model = create_model(
        "deeplabv3plus",
        backbone=resnet_name(tensors, what=what),
        dilate_first=True,
        num_classes=num_classes,
        output_stride=output_stride,
        atrous_rates=(12, 24, 36),
        head_conv=True,
        norm_between=False,
        decoder_convs=1,
        pad_to_grid=False,
    )
    return finished(model, pooling_first(tensors), what=what)
