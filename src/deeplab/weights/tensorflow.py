"""The official code, tensorflow/models/research/deeplab: its checkpoints of DeepLab v3 on MobileNetV2 and v3+ on
Xception, read without TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    *(
        (f"aspp{branch + 1}_{layer}", f"aspp.atrous.{branch}.{layer}")
        for branch in range(9)
        for layer in ("depthwise", "pointwise")
    ),
    ("concat_projection", "aspp.project"),
    ("decoder/feature_projection0", "reduce"),
    *(
        (f"decoder/decoder_conv{index}_{layer}", f"decode.{index}.{layer}")
        for index in (0, 1)
        for layer in ("depthwise", "pointwise")
    ),
)

XCEPTIONS = {"xception_41": (3, 8), "xception_65": (3, 16), "xception_71": (5, 16)}
"""Units at the entry and in the middle."""

LOGITS = ((r"logits/semantic/weights$", "classify.weight"), (r"logits/semantic/biases$", "classify.bias"))

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


def _xception(name: str) -> Iterator[tuple[str, str]]:
    """The layers of one of the Xceptions."""
    entry, middle = XCEPTIONS[name]
    flows = [f"entry_flow/block{number + 1}/unit_1" for number in range(entry)]
    flows += [f"middle_flow/block1/unit_{number + 1}" for number in range(middle)]
    flows += [f"exit_flow/block{number + 1}/unit_1" for number in range(2)]
    for number in (1, 2):
        yield f"{name}/entry_flow/conv1_{number}", f"backbone.stem.{number - 1}"
    for index, flow in enumerate(flows):
        unit = f"{name}/{flow}/xception_module"
        yield f"{unit}/shortcut", f"backbone.blocks.{index}.shortcut"
        for conv in (0, 1, 2):
            for layer in ("depthwise", "pointwise"):
                yield f"{unit}/separable_conv{conv + 1}_{layer}", f"backbone.blocks.{index}.convs.{conv}.{layer}"


def from_state(
    variables: Mapping[str, NDArray[Any]], *, output_stride: int = 16, what: str, **options: Any
) -> Checkpoint:
    """The model with these variables. See `convert`; `what` names them in an error, `options` are the model's."""
    used = {name: _as_ours(values) for name, values in variables.items() if not name.endswith(LEFT_BEHIND)}
    xception = next((each for each in XCEPTIONS if any(name.startswith(f"{each}/") for name in used)), None)
    layers = (*LAYERS, *_xception(xception)) if xception else LAYERS
    rules = [(f"{theirs}/{part}", f"{ours}.{our_part}") for theirs, ours in layers for part, our_part in PARTS]
    tensors = {
        name: tensor.transpose(0, 1) if name.endswith("depthwise.conv.weight") else tensor
        for name, tensor in renamed(used, (*rules, *LOGITS), what=what).items()
    }
    num_classes = count_classes(tensors, what=what, wanted="the official DeepLab v3 or v3+ on MobileNetV2 or Xception")
    branches = any(name.startswith("aspp.atrous.") for name in tensors)
    model = create_model(
        "deeplabv3plus" if "reduce.conv.weight" in tensors else "deeplabv3",
        num_classes=num_classes,
        output_stride=output_stride,
        atrous_rates=None if branches else (),
        aspp_separable=True,
        **options,
        **({"backbone": xception.replace("_", "")} if xception else _mobilenetv2(tensors)),
    )
    return finished(model, tensors, what=what, preprocessing=Preprocessing(long_side=513))


def _mobilenetv2(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """What builds this MobileNetV2."""
    widths = [len(tensor) for name, tensor in tensors.items() if name.endswith("project.conv.weight")]
    return {
        "backbone": "mobilenetv2",
        "depth_multiplier": len(tensors["backbone.stem.conv.weight"]) / 32,
        "divisible_by": 8 if all(width % 8 == 0 for width in widths) else 1,
        "padding": "same",
    }


def _as_ours(values: NDArray[Any]) -> Tensor:
    """A kernel (height, width, in, out) as (out, in, height, width); anything else as it is."""
    tensor = torch.tensor(values)
    return tensor.permute(3, 2, 0, 1) if tensor.ndim == 4 else tensor
