"""DeepLab v3 on ResNet from torchvision: `deeplabv3_resnet50`, `deeplabv3_resnet101`.

The published weights know the classes of PASCAL VOC but saw COCO. The auxiliary classifier, which only training uses,
is left behind.
"""

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
    *aspp_rules("classifier.0"),
    (r"classifier\.1\.", "refine.conv."),
    (r"classifier\.2\.", "refine.norm."),
    (r"classifier\.4\.", "classify."),
)

LEFT_BEHIND = "aux_classifier."


def convert(path: str | Path) -> Checkpoint:
    """The model in the file `path` of torchvision.

    Raises:
        InputNotFoundError: There is no such file.
        CheckpointError: It cannot be read, or is no DeepLab v3 on ResNet of torchvision.
    """
    path = Path(path)
    return from_state(read_state(path), what=str(path))


def from_state(state: Mapping[str, Tensor], *, what: str) -> Checkpoint:
    """The model with these tensors. See `convert`; `what` names them in an error."""
    used = {name: tensor for name, tensor in state.items() if not name.startswith(LEFT_BEHIND)}
    tensors = renamed(used, RULES, what=what)
    num_classes = count_classes(tensors, what=what, wanted="torchvision's DeepLab v3 on ResNet")
    model = create_model(
        "deeplabv3",
        backbone=resnet_name(tensors, what=what),
        num_classes=num_classes,
        output_stride=8,
        atrous_rates=(12, 24, 36),
        head_conv=True,
        align_corners=False,
    )
    return finished(model, pooling_first(tensors), what=what)
