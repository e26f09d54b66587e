"""The official code, tensorflow/models/research/deeplab: its checkpoints of DeepLab v3 on MobileNetV2 and v3+ on
Xception, read without TensorFlow."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from deeplab.weights._source import Rules, Source, Tensors, combined
from deeplab.weights._tf_checkpoint import read_variables

__all__ = ["as_tensors", "convert", "source"]

PARTS = (
    (r"/(?:depthwise_)?weights$", ".conv.weight"),
    (r"/BatchNorm/gamma$", ".norm.weight"),
    (r"/BatchNorm/beta$", ".norm.bias"),
    (r"/BatchNorm/moving_mean$", ".norm.running_mean"),
    (r"/BatchNorm/moving_variance$", ".norm.running_var"),
)

XCEPTION_UNITS = {"41": (3, 8), "65": (3, 16), "71": (5, 16)}
"""At the entry and in the middle."""

XCEPTION_UNIT = r"xception_(\d+)/(entry|middle|exit)_flow/block(\d+)/unit_(\d+)/xception_module"


def _xception_unit(found: re.Match[str]) -> str:
    """Units are one list here."""
    variant, flow, block, unit, *layer = found.groups()
    entry, middle = XCEPTION_UNITS[variant]
    index = {"entry": int(block), "middle": entry + int(unit), "exit": entry + middle + int(block)}[flow] - 1
    place = f"convs.{int(layer[0]) - 1}.{layer[1]}" if layer else "shortcut"
    return f"backbone.blocks.{index}.{place}"


LAYERS: Rules = (
    (r"MobilenetV2/Conv", "backbone.stem"),
    (r"MobilenetV2/expanded_conv/(depthwise|project)", r"backbone.blocks.0.\1"),
    (r"MobilenetV2/expanded_conv_(\d+)/(expand|depthwise|project)", r"backbone.blocks.\1.\2"),
    (r"xception_\d+/entry_flow/conv1_1", "backbone.stem.0"),
    (r"xception_\d+/entry_flow/conv1_2", "backbone.stem.1"),
    (rf"{XCEPTION_UNIT}/separable_conv(\d)_(depthwise|pointwise)", _xception_unit),
    (rf"{XCEPTION_UNIT}/shortcut", _xception_unit),
    (r"image_pooling", "aspp.image_pooling"),
    (r"aspp0", "aspp.pointwise"),
    *((rf"aspp{branch + 1}_(depthwise|pointwise)", rf"aspp.atrous.{branch}.\1") for branch in range(9)),
    (r"concat_projection", "aspp.project"),
    (r"decoder/feature_projection0", "reduce"),
    (r"decoder/decoder_conv(\d)_(depthwise|pointwise)", r"decode.\1.\2"),
)

RULES: Rules = (
    *combined(LAYERS, PARTS),
    (r"logits/semantic/weights$", "classify.weight"),
    (r"logits/semantic/biases$", "classify.bias"),
)


def read(path: Path) -> dict[str, Tensor]:
    """The variables of a checkpoint, under their names there: NAME of NAME.index and NAME.data-00000-of-00001, or
    NAME.index. Raises as `read_variables`."""
    return as_tensors(read_variables(path))


def as_tensors(variables: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    """Kernels (height, width, in, out), or (height, width, channels, 1) of a depthwise one, in the order of PyTorch."""
    tensors = {}
    for name, values in variables.items():
        tensor = torch.tensor(values)
        if name.endswith("depthwise_weights"):
            tensor = tensor.permute(2, 3, 0, 1)
        elif tensor.ndim == 4:
            tensor = tensor.permute(3, 2, 0, 1)
        tensors[name] = tensor
    return tensors


def network(tensors: Tensors) -> dict[str, Any]:
    branches = any(name.startswith("aspp.atrous.") for name in tensors)
    return {
        "name": "deeplabv3plus" if "reduce.conv.weight" in tensors else "deeplabv3",
        "atrous_rates": None if branches else (),
        "aspp_separable": True,
        **(_xception(tensors) if "backbone.stem.0.conv.weight" in tensors else _mobilenetv2(tensors)),
    }


def _xception(tensors: Tensors) -> dict[str, Any]:
    units = 1 + max(int(name.split(".")[2]) for name in tensors if name.startswith("backbone.blocks."))
    variant = next(name for name, (entry, middle) in XCEPTION_UNITS.items() if entry + middle + 2 == units)
    return {"backbone": f"xception{variant}"}


def _mobilenetv2(tensors: Tensors) -> dict[str, Any]:
    widths = [len(tensor) for name, tensor in tensors.items() if name.endswith("project.conv.weight")]
    return {
        "backbone": "mobilenetv2",
        "depth_multiplier": len(tensors["backbone.stem.conv.weight"]) / 32,
        "divisible_by": 8 if all(width % 8 == 0 for width in widths) else 1,
        "padding": "same",
    }


source = Source(
    title="the official DeepLab v3 or v3+ on MobileNetV2 or Xception",
    rules=RULES,
    network=network,
    left_behind=(r"global_step", r"learning_rate", r".*/(Momentum|ExponentialMovingAverage|Adam(_1)?)$"),
    read=read,
    long_side=513,
)

convert = source.convert
