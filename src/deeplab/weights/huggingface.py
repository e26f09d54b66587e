"""DeepLab v3 on MobileNetV2 from Hugging Face transformers: `MobileNetV2ForSemanticSegmentation`.

Those are Google's official checkpoints, as google/deeplabv3_mobilenet_v2_1.0_513. The 1 x 1 to 1280 channels, which
only the classifier of images reads, is left behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from deeplab.checkpoints import Checkpoint, Preprocessing
from deeplab.models import create_model
from deeplab.weights._state import count_classes, finished, read_state, renamed

__all__ = ["convert", "from_state"]

PARTS = (("convolution", "conv"), ("normalization", "norm"))

RULES = (
    *(
        (rf"{theirs}\.{kind}\.", f"{ours}.{our_kind}.")
        for theirs, ours in (
            (r"mobilenet_v2\.conv_stem\.first_conv", "backbone.stem"),
            (r"mobilenet_v2\.conv_stem\.conv_3x3", "backbone.blocks.0.depthwise"),
            (r"mobilenet_v2\.conv_stem\.reduce_1x1", "backbone.blocks.0.project"),
            (r"segmentation_head\.conv_pool", "aspp.image_pooling"),
            (r"segmentation_head\.conv_aspp", "aspp.pointwise"),
            (r"segmentation_head\.conv_projection", "aspp.project"),
        )
        for kind, our_kind in PARTS
    ),
    *(
        (rf"mobilenet_v2\.layer\.{unit}\.{theirs}\.{kind}\.", f"backbone.blocks.{unit + 1}.{ours}.{our_kind}.")
        for unit in range(16)
        for theirs, ours in (("expand_1x1", "expand"), ("conv_3x3", "depthwise"), ("reduce_1x1", "project"))
        for kind, our_kind in PARTS
    ),
    (r"segmentation_head\.classifier\.convolution\.", "classify."),
)

LEFT_BEHIND = "mobilenet_v2.conv_1x1."

MULTIPLIERS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)
"""Widths that were published."""


def convert(path: str | Path) -> Checkpoint:
    """The model in the file `path`, model.safetensors or pytorch_model.bin.

    Raises:
        InputNotFoundError: There is no such file.
        CheckpointError: It cannot be read, or is no such model.
    """
    path = Path(path)
    return from_state(read_state(path), what=str(path))


def from_state(state: Mapping[str, Tensor], *, what: str) -> Checkpoint:
    """The model with these tensors. See `convert`; `what` names them in an error."""
    used = {name: tensor for name, tensor in state.items() if not name.startswith(LEFT_BEHIND)}
    tensors = renamed(used, RULES, what=what)
    num_classes = count_classes(
        tensors, what=what, wanted="MobileNetV2ForSemanticSegmentation of Hugging Face transformers"
    )
    deepest = len(tensors["backbone.blocks.16.project.conv.weight"])
    model = create_model(
        "deeplabv3",
        backbone="mobilenetv2",
        depth_multiplier=min(MULTIPLIERS, key=lambda multiplier: abs(320 * multiplier - deepest)),
        padding="same",
        num_classes=num_classes,
        atrous_rates=(),
        pad_to_grid=False,
    )
    return finished(model, tensors, what=what, preprocessing=Preprocessing(long_side=513))
