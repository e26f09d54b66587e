"""DeepLab v3+ on ResNet-101 from jfzhang95/pytorch-deeplab-xception."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from deeplab.checkpoints import Checkpoint
from deeplab.models import create_model
from deeplab.weights._state import RESNET, count_classes, finished, pooling_first, read_state, renamed, resnet_name

__all__ = ["convert", "from_state"]

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
    (r"decoder\.conv1\.", "reduce.conv."),
    (r"decoder\.bn1\.", "reduce.norm."),
    (r"decoder\.last_conv\.0\.", "decode.0.conv."),
    (r"decoder\.last_conv\.1\.", "decode.0.norm."),
    (r"decoder\.last_conv\.4\.", "decode.1.conv."),
    (r"decoder\.last_conv\.5\.", "decode.1.norm."),
    (r"decoder\.last_conv\.8\.", "classify."),
)


def convert(path: str | Path, *, output_stride: int = 16) -> Checkpoint:
    """The model in the file `path` of that project.

    Args:
        output_stride: 8 or 16, as it was trained: the file does not say, and the atrous rates depend on it.

    Raises:
        InputNotFoundError: There is no such file.
        CheckpointError: It cannot be read, or is no DeepLab v3+ on ResNet of that project.
    """
    path = Path(path)
    return from_state(read_state(path), output_stride=output_stride, what=str(path))


def from_state(state: Mapping[str, Tensor], *, output_stride: int = 16, what: str) -> Checkpoint:
    """The model with these tensors. See `convert`; `what` names them in an error."""
    tensors = renamed(state, RULES, what=what)
    num_classes = count_classes(tensors, what=what, wanted="jfzhang95's DeepLab v3+ on ResNet")
    model = create_model(
        "deeplabv3plus",
        backbone=resnet_name(tensors, what=what),
        multi_grid=(1, 2, 4),
        dilate_first=True,
        num_classes=num_classes,
        output_stride=output_stride,
        aspp_separable=False,
        decoder_separable=False,
        pad_to_grid=False,
    )
    return finished(model, pooling_first(tensors), what=what)
