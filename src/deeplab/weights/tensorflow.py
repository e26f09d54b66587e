"""DeepLab v3 on MobileNetV2 from the official code, tensorflow/models/research/deeplab: its checkpoints, read without
TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from deeplab.checkpoints import Checkpoint, Preprocessing
from deeplab.models import create_model
from deeplab.weights._state import count_classes, finished, renamed
from deeplab.weights._tf_checkpoint import read_variables

__all__ = ["convert", "from_state"]

PARTS = (
    (r"(?:depthwise_)?weights$", "conv.weight"),
    (r"BatchNorm/gamma$", "norm.weight"),
    (r"BatchNorm/beta$", "norm.bias"),
    (r"BatchNorm/moving_mean$", "norm.running_mean"),
    (r"BatchNorm/moving_variance$", "norm.running_var"),
)

LAYERS = (
    ("MobilenetV2/Conv", "backbone.stem"),
    *((rf"MobilenetV2/expanded_conv/{layer}", f"backbone.blocks.0.{layer}") for layer in ("depthwise", "project")),
    *(
        (rf"MobilenetV2/expanded_conv_(\d+)/{layer}", rf"backbone.blocks.\1.{layer}")
        for layer in ("expand", "depthwise", "project")
    ),
    ("image_pooling", "aspp.image_pooling"),
    ("aspp0", "aspp.pointwise"),
    ("concat_projection", "aspp.project"),
)

RULES = (
    *((f"{theirs}/{part}", f"{ours}.{our_part}") for theirs, ours in LAYERS for part, our_part in PARTS),
    (r"logits/semantic/weights$", "classify.weight"),
    (r"logits/semantic/biases$", "classify.bias"),
)

LEFT_BEHIND = ("global_step", "/Momentum", "/ExponentialMovingAverage", "/Adam", "learning_rate")
"""Ends of the names of what only training uses."""


def convert(path: str | Path, *, output_stride: int = 16) -> Checkpoint:
    """The model in the checkpoint `path`: NAME of NAME.index and NAME.data-00000-of-00001, or NAME.index.

    Args:
        output_stride: That of the evaluation, 8 or 16; the weights are the same.

    Raises:
        InputNotFoundError: There is no such checkpoint.
        CheckpointError: It cannot be read, or is no DeepLab v3 on MobileNetV2.
    """
    return from_state(read_variables(Path(path)), output_stride=output_stride, what=str(path))


def from_state(variables: Mapping[str, NDArray[Any]], *, output_stride: int = 16, what: str) -> Checkpoint:
    """The model with these variables. See `convert`; `what` names them in an error."""
    used = {name: _as_ours(values) for name, values in variables.items() if not name.endswith(LEFT_BEHIND)}
    tensors = {
        name: tensor.transpose(0, 1) if name.endswith("depthwise.conv.weight") else tensor
        for name, tensor in renamed(used, RULES, what=what).items()
    }
    num_classes = count_classes(tensors, what=what, wanted="the official DeepLab v3 on MobileNetV2")
    widths = [len(tensor) for name, tensor in tensors.items() if name.endswith("project.conv.weight")]
    model = create_model(
        "deeplabv3",
        backbone="mobilenetv2",
        depth_multiplier=len(tensors["backbone.stem.conv.weight"]) / 32,
        divisible_by=8 if all(width % 8 == 0 for width in widths) else 1,
        padding="same",
        num_classes=num_classes,
        output_stride=output_stride,
        atrous_rates=(),
    )
    return finished(model, tensors, what=what, preprocessing=Preprocessing(long_side=513))


def _as_ours(values: NDArray[Any]) -> Tensor:
    """A kernel (height, width, in, out) as (out, in, height, width); anything else as it is."""
    tensor = torch.tensor(values)
    return tensor.permute(3, 2, 0, 1) if tensor.ndim == 4 else tensor
