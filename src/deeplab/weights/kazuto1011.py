"""DeepLab v2 on ResNet-101 from kazuto1011/deeplab-pytorch, which holds the authors' Caffe weights too.

Its networks for VOC, Cityscapes and COCO-Stuff differ in the number of classes only.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from deeplab.checkpoints import Checkpoint
from deeplab.models import create_model
from deeplab.weights._state import count_classes, finished, read_state, renamed

__all__ = ["convert", "from_state"]

UNIT = r"(?:base\.)?layer([2-5])\.block(\d+)\."

RULES = (
    (r"(?:base\.)?layer1\.conv1\.bn\.", "backbone.stem.norm."),
    (r"(?:base\.)?layer1\.conv1\.", "backbone.stem."),
    *(
        (rf"{UNIT}{theirs}\.{kind}\.", rf"backbone.res\1.\2.{ours}.{our_kind}.")
        for theirs, ours in (("reduce", "conv1"), ("conv3x3", "conv2"), ("increase", "conv3"), ("shortcut", "shortcut"))
        for kind, our_kind in (("conv", "conv"), ("bn", "norm"))
    ),
    (r"(?:base\.)?aspp\.c(\d)\.", r"classify.\1."),
)
"""Units count from 1 there."""

BGR_MEAN = (104.008, 116.669, 122.675)
"""Subtracted from the image in BGR, 0 .. 255 (its configs/voc12.yaml)."""


def convert(path: str | Path) -> Checkpoint:
    """The model in the file `path` of that project, seen at the scales 0.5, 0.75 and 1 as there.

    Raises:
        InputNotFoundError: There is no such file.
        CheckpointError: It cannot be read, or is no DeepLab v2 of that project.
    """
    path = Path(path)
    return from_state(read_state(path), what=str(path))


def from_state(state: Mapping[str, Tensor], *, what: str) -> Checkpoint:
    """The model with these tensors. See `convert`; `what` names them in an error."""
    tensors = {_from_zero(name): tensor for name, tensor in renamed(state, RULES, what=what).items()}
    num_classes = count_classes(tensors, what=what, wanted="DeepLab v2 of kazuto1011/deeplab-pytorch")
    model = create_model(
        "deeplabv2",
        backbone="resnet101",
        stride_in="1x1",
        padding="caffe",
        num_classes=num_classes,
        output_stride=8,
        scales=(0.5, 0.75, 1.0),
        align_corners=False,
        image_mean=[value / 255 for value in BGR_MEAN[::-1]],
        image_std=[1 / 255] * 3,
    )
    # the file's first convolution reads BGR, ours RGB
    tensors["backbone.stem.conv.weight"] = tensors["backbone.stem.conv.weight"].flip(1)
    return finished(model, tensors, what=what)


def _from_zero(name: str) -> str:
    """The name with its unit counted from 0."""
    parts = name.split(".")
    if name.startswith("backbone.res"):
        parts[2] = str(int(parts[2]) - 1)
    return ".".join(parts)
