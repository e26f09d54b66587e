"""The official code, tensorflow/models/research/deeplab: its checkpoints and frozen graphs of DeepLab v3 on
MobileNetV2 and MobileNetV3 and of v3+ on Xception and ResNet "beta", read without TensorFlow."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from deeplab.backbones.mobilenetv2 import STAGES
from deeplab.weights._ports import resnet_name
from deeplab.weights._source import Conversion, Rules, Source, Tensors, combined
from deeplab.weights._tf_checkpoint import read_variables
from deeplab.weights._tf_graph import output_stride as graph_stride
from deeplab.weights._tf_graph import read_constants

__all__ = ["as_tensors", "convert", "source"]

LEFT_BEHIND = (r"global_step", r"learning_rate", r".*/(Momentum|ExponentialMovingAverage|RMSProp(_1)?|Adam(_1)?)$")
"""Names of what only training uses."""

PARTS = (
    (r"/(?:depthwise_)?weights$", ".conv.weight"),
    (r"/BatchNorm/gamma$", ".norm.weight"),
    (r"/BatchNorm/beta$", ".norm.bias"),
    (r"/BatchNorm/moving_mean$", ".norm.running_mean"),
    (r"/BatchNorm/moving_variance$", ".norm.running_var"),
)

RESNET_MEAN = (123.15, 115.9, 103.06)
"""Of RGB in 0 .. 255 (its core/feature_extractor.py)."""

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


def _resnet_unit(found: re.Match[str]) -> str:
    return f"backbone.res{int(found[1]) + 1}.{int(found[2]) - 1}.{found[3]}"


LAYERS: Rules = (
    (r"MobilenetV2/Conv", "backbone.stem"),
    (r"MobilenetV2/expanded_conv/(depthwise|project)", r"backbone.blocks.0.\1"),
    (r"MobilenetV2/expanded_conv_(\d+)/(expand|depthwise|project)", r"backbone.blocks.\1.\2"),
    (r"MobilenetV3/Conv(?=/)", "backbone.stem"),
    (r"MobilenetV3/Conv_1", "backbone.last"),
    (r"MobilenetV3/expanded_conv/(depthwise|project)", r"backbone.blocks.0.\1"),
    (r"MobilenetV3/expanded_conv_(\d+)/(expand|depthwise|project)", r"backbone.blocks.\1.\2"),
    (r"xception_\d+/entry_flow/conv1_1", "backbone.stem.0"),
    (r"xception_\d+/entry_flow/conv1_2", "backbone.stem.1"),
    (rf"{XCEPTION_UNIT}/separable_conv(\d)_(depthwise|pointwise)", _xception_unit),
    (rf"{XCEPTION_UNIT}/shortcut", _xception_unit),
    (r"resnet_v1_\d+/conv1", "backbone.stem"),
    (r"resnet_v1_\d+/conv1_1", "backbone.stem.0"),
    (r"resnet_v1_\d+/conv1_2", "backbone.stem.1"),
    (r"resnet_v1_\d+/conv1_3", "backbone.stem.2"),
    (r"resnet_v1_\d+/block(\d)/unit_(\d+)/(?:lite_)?bottleneck_v1/(conv\d|shortcut)", _resnet_unit),
    (r"image_pooling", "aspp.image_pooling"),
    (r"aspp0", "aspp.pointwise"),
    *((rf"aspp{branch + 1}_(depthwise|pointwise)", rf"aspp.atrous.{branch}.\1") for branch in range(9)),
    *((rf"aspp{branch + 1}", f"aspp.atrous.{branch}") for branch in range(9)),
    (r"concat_projection", "aspp.project"),
    (r"meta_architecture/branch(\d)_(depthwise|pointwise)", r"aspp.branches.\1.\2"),
    (r"meta_architecture/branch(\d)", r"aspp.branches.\1"),
    (r"meta_architecture/concat_projection", "aspp.project"),
    *(
        (f"decoder/{theirs}", f"decoder.{step}.{ours}")
        for step, suffix in enumerate(("", "_1", "_2"))
        for theirs, ours in (
            (f"feature_projection0{suffix}", "reduce"),
            (rf"decoder_conv(\d){suffix}_(depthwise|pointwise)", r"decode.\1.\2"),
            (f"decoder_conv0{suffix}/decoder_conv0{suffix}_1", "decode.0"),
            (f"decoder_conv0{suffix}/decoder_conv0{suffix}_2", "decode.1"),
        )
    ),
)
"""Layers with BatchNorm."""

LINEAR = (
    (r"MobilenetV3/expanded_conv/squeeze_excite/Conv", "backbone.blocks.0.squeeze.reduce"),
    (r"MobilenetV3/expanded_conv/squeeze_excite/Conv_1", "backbone.blocks.0.squeeze.expand"),
    (r"MobilenetV3/expanded_conv_(\d+)/squeeze_excite/Conv", r"backbone.blocks.\1.squeeze.reduce"),
    (r"MobilenetV3/expanded_conv_(\d+)/squeeze_excite/Conv_1", r"backbone.blocks.\1.squeeze.expand"),
    (r"logits/semantic", "classify"),
    (r"image_pooling", "aspp.image_scaling.0"),
    (r"decoder/feature_projection0", "decoder.0.reduce"),
    (r"decoder/decoder_conv0", "decoder.0.decode"),
)
"""Layers with a bias."""


def rules(names: Collection[str]) -> Rules:
    """Some layers have one name with BatchNorm and with a bias."""
    biased = {name.removesuffix("/biases") for name in names if name.endswith("/biases")}
    places = [(re.fullmatch(theirs, layer), ours) for layer in biased for theirs, ours in LINEAR]
    linear = [(re.escape(match[0]), match.expand(ours)) for match, ours in places if match]
    return (*combined(linear, ((r"/weights$", ".weight"), (r"/biases$", ".bias"))), *combined(LAYERS, PARTS))


def read(path: Path) -> dict[str, Tensor]:
    """The variables under their names there: of a frozen graph (.pb), or of a checkpoint, which is NAME of NAME.index
    and NAME.data-00000-of-00001, or NAME.index. Raises as `read_constants` and `read_variables`."""
    return as_tensors(read_constants(path) if path.suffix == ".pb" else read_variables(path))


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
    decoder = {name.split(".")[1] for name in tensors if name.startswith("decoder.")}
    return {
        "name": "deeplabv3plus" if decoder else "deeplabv3",
        **backbone(tensors),
        **_aspp(tensors),
        **(_decoder(tensors, len(decoder)) if decoder else {}),
    }


def backbone(tensors: Tensors) -> dict[str, Any]:
    """What builds the backbone of these tensors, its name as "backbone"."""
    if "backbone.res2.0.conv1.conv.weight" in tensors:
        return _resnet(tensors)
    if "backbone.last.conv.weight" in tensors:
        return _mobilenetv3(tensors)
    if "backbone.stem.0.conv.weight" in tensors:
        units = _units(tensors)
        variants = XCEPTION_UNITS.items()
        return {"backbone": "xception" + next(name for name, (entry, mid) in variants if entry + mid + 2 == units)}
    widths = [len(tensor) for name, tensor in tensors.items() if name.endswith("project.conv.weight")]
    return {
        "backbone": "mobilenetv2",
        # of the deepest block: narrower ones are rounded, the stem of width 1.4 to that of 1.5
        "depth_multiplier": len(tensors["backbone.blocks.16.project.conv.weight"]) / STAGES[-1][1],
        "divisible_by": 8 if all(width % 8 == 0 for width in widths) else 1,
        "padding": "same",
    }


def _resnet(tensors: Tensors) -> dict[str, Any]:
    """The "beta" networks see -1 .. 1, the plain ones the image with its mean subtracted; the published "beta"
    checkpoints were trained with a multi-grid of 1, 2, 4, which a file does not say."""
    beta = "backbone.stem.0.conv.weight" in tensors
    bottlenecks = "backbone.res5.2.conv3.conv.weight" in tensors
    return {
        "backbone": resnet_name(tensors),
        "stem_channels": tuple(len(tensors[f"backbone.stem.{index}.conv.weight"]) for index in range(3 * beta))
        or (64,),
        "stride_unit": "last",
        "detail": "before_add",
        "padding": "same",
        "multi_grid": (1, 2, 4) if beta and bottlenecks else None,
        "image_mean": [0.5] * 3 if beta else [value / 255 for value in RESNET_MEAN],
        "image_std": [0.5] * 3 if beta else [1 / 255] * 3,
    }


def _mobilenetv3(tensors: Tensors) -> dict[str, Any]:
    units = _units(tensors)
    size, widest = {15: ("large", 160), 11: ("small", 96)}[units]
    deepest = len(tensors[f"backbone.blocks.{units - 1}.project.conv.weight"])
    halved = deepest < 0.75 * widest * len(tensors["backbone.stem.conv.weight"]) / 16
    return {
        "backbone": f"mobilenetv3_{size}{'_seg' if halved else ''}",
        "depth_multiplier": deepest * (2 if halved else 1) / widest,
        "padding": "same",
        "output_stride": 32,
    }


def _aspp(tensors: Tensors) -> dict[str, Any]:
    if "aspp.branches.0.depthwise.conv.weight" in tensors:
        return {"dense_prediction_cell": "cityscapes"}
    branches = any(name.startswith("aspp.atrous.") for name in tensors)
    found = {
        "atrous_rates": None if branches else (),
        "aspp_separable": "aspp.atrous.0.conv.weight" not in tensors,
        "aspp_channels": len(tensors["aspp.pointwise.conv.weight"]),
    }
    if "aspp.image_scaling.0.weight" in tensors:  # as in the published MobileNetV3 models; a file has no more of it
        window = {"image_pooling_crop_size": (769, 769), "image_pooling_stride": (4, 5)}
        project = "aspp.project.conv.weight" in tensors
        return {**found, **window, "squeeze_excite": "hard_sigmoid", "aspp_project": project}
    return {**found, "image_pooling": "aspp.image_pooling.conv.weight" in tensors}


def _decoder(tensors: Tensors, steps: int) -> dict[str, Any]:
    """A file does not tell the strides: they are taken as the finest, or 8 for a decoder that gives logits."""
    if "decoder.0.reduce.bias" in tensors:
        return {"decoder_strides": (8,), "decoder_merge": "sum", "decoder_logits": True}
    separable = "decoder.0.decode.0.depthwise.conv.weight" in tensors
    last = tensors["decoder.0.decode.1.pointwise.conv.weight" if separable else "decoder.0.decode.1.conv.weight"]
    return {
        "decoder_strides": (16, 8, 4)[-steps:],
        "decoder_separable": separable,
        "decoder_channels": len(last),
        "low_level_channels": len(tensors["decoder.0.reduce.conv.weight"]),
    }


def _units(tensors: Tensors) -> int:
    return len({name.split(".")[2] for name in tensors if name.startswith("backbone.blocks.")})


def long_side(arguments: Mapping[str, Any]) -> int | None:
    """Images of Cityscapes are seen whole, those of VOC and ADE20K at their crops (g3doc/model_zoo.md)."""
    classes, backbone = arguments["num_classes"], arguments["backbone"]
    return {19: None, 151: 257 if backbone == "mobilenetv2" else 513}.get(classes, 513)


source = Source(
    title="the official DeepLab v3 or v3+ on MobileNetV2, MobileNetV3, Xception or ResNet",
    rules=rules,
    network=network,
    left_behind=LEFT_BEHIND,
    read=read,
    long_side=long_side,
)


def convert(path: str | Path, *, output_stride: int | None = None) -> Conversion:
    """As `Source.convert`; a frozen graph tells its output stride."""
    path = Path(path)
    if path.suffix == ".pb" and output_stride is None:
        output_stride = graph_stride(path)
    return source.convert(path, output_stride=output_stride)
