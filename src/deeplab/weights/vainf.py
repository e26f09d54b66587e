"""DeepLab v3+ on ResNet from VainF/DeepLabV3Plus-Pytorch: `deeplabv3plus_resnet50`, `deeplabv3plus_resnet101`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from deeplab.checkpoints import Checkpoint
from deeplab.models import create_model
from deeplab.weights._state import (
    RESNET,
    aspp_rules,
    count_classes,
    finished,
    pooling_first,
    read_state,
    renamed,
    resnet_name,
)

__all__ = ["convert", "from_state"]

RULES = (
    *((rf"backbone\.{theirs}", ours) for theirs, ours in RESNET),
    (r"classifier\.project\.0\.", "reduce.conv."),
    (r"classifier\.project\.1\.", "reduce.norm."),
    *aspp_rules("classifier.aspp"),
    (r"classifier\.classifier\.0\.", "decode.0.conv."),
    (r"classifier\.classifier\.1\.", "decode.0.norm."),
    (r"classifier\.classifier\.3\.", "classify."),
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
    num_classes = count_classes(tensors, what=what, wanted="VainF's DeepLab v3+ on ResNet")
    model = create_model(
        "deeplabv3plus",
        backbone=resnet_name(tensors, what=what),
        num_classes=num_classes,
        output_stride=output_stride,
        aspp_separable=False,
        decoder_separable=False,
        decoder_convs=1,
        align_corners=False,
    )
    low_level = tensors["reduce.conv.weight"].shape[0]  # first in that decoder's concatenation, last in ours
    tensors["decode.0.conv.weight"] = tensors["decode.0.conv.weight"].roll(-low_level, dims=1)
    return finished(model, pooling_first(tensors), what=what)
