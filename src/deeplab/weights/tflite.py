"""Google's TensorFlow Lite DeepLab and MobileNet models as models of ours, in float32.

Known are DeepLab v3 with the light head (image pooling and 1 x 1) on MobileNetV2 or MobileNet-EdgeTPU, and
the MobileNetV2 of ImageNet, 8-bit or float. Which one a file holds, its width, output stride and number of
classes are read off its operators; every convolution is then compared with the layer that takes its weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from deeplab.backbones.mobilenetv2 import STAGES
from deeplab.checkpoints import Checkpoint, Preprocessing
from deeplab.errors import CheckpointError, SettingsError
from deeplab.layers import BatchNorm, ConvNormAct
from deeplab.layers.conv import ACTIVATIONS
from deeplab.models import create_model
from deeplab.models.deeplabv3 import DeepLabV3
from deeplab.weights._classes import assumed_names, names_of, palette_of
from deeplab.weights._source import Conversion
from deeplab.weights._tflite_graph import Convolution, Graph, TensorInfo, read_graph
from deeplab.weights.encoders import Encoder

__all__ = ["convert", "convert_backbone"]


def convert(path: str | Path, *, output_stride: int | None = None) -> Conversion:
    """The segmentation model in the TensorFlow Lite file `path`, in evaluation mode.

    BatchNorm is folded into the convolutions there; here the norms add the folded bias and let everything
    else pass, so `recalibrate_batchnorm` has to come before training.

    Args:
        output_stride: None: that of the file.

    Raises:
        InputNotFoundError: There is no such file.
        CheckpointError: Not a TensorFlow Lite file, or not one of the networks that we know.
    """
    path = Path(path)
    graph = read_graph(path)
    convolutions = _convolutions(graph)
    if len(convolutions) < 6 or "CONCATENATION" not in {operator.kind for operator in graph.operators}:
        raise CheckpointError(f"{path}: wanted DeepLab v3 with image pooling and 1 x 1; {_summary(graph)}")
    *encoder, first, second, project, classify = convolutions
    image_pooling, pointwise = (first, second) if _reads_pooled(first, graph) else (second, first)
    _check_head(image_pooling, pointwise, graph, path=path)

    num_classes = len(classify.bias)
    mean, std = _normalisation(graph.image)
    with _named(path):
        model = create_model(
            "deeplabv3",
            backbone=_backbone_name(encoder),
            num_classes=num_classes,
            image_mean=mean,
            image_std=std,
            atrous_rates=(),
            aspp_channels=len(project.bias),
            **_backbone_arguments(encoder),
        )
    placed = _fill(model, [*encoder, image_pooling, pointwise, project, classify], graph, path=path)
    if output_stride is not None:
        state = model.state_dict()
        model = create_model(model.entry, **{**model.arguments, "output_stride": output_stride})
        model.load_state_dict(state)
    checkpoint = Checkpoint(
        model=model.eval(),
        classes=names_of(num_classes),
        palette=palette_of(num_classes),
        preprocessing=Preprocessing(long_side=max(graph.image.shape[1:3])),
        training={"converted_from": path.name},
    )
    names = assumed_names(checkpoint.classes)
    return Conversion(checkpoint, placed, assumed={"classes": names} if names else {})


def convert_backbone(path: str | Path) -> Checkpoint:
    """The MobileNetV2 of the ImageNet classifier `path` as an `Encoder`, without classes, at output stride 32.

    It wants RGB in -1 .. 1 and pads as TensorFlow's SAME. The 1 x 1 to 1280 channels and the classifier have
    no place in a backbone and are left behind. Norms are as in `convert`.

    Raises:
        InputNotFoundError: There is no such file.
        CheckpointError: Not a TensorFlow Lite file, or not such a classifier.
    """
    path = Path(path)
    graph = read_graph(path)
    convolutions = _convolutions(graph)
    if len(convolutions) < 4 or not _reads_pooled(convolutions[-1], graph):
        raise CheckpointError(f"{path}: wanted a MobileNetV2 with its classifier; {_summary(graph)}")
    encoder = convolutions[:-2]
    mean, std = _normalisation(graph.image)
    options = {**_backbone_arguments(encoder), "padding": "same", "image_mean": mean, "image_std": std}
    with _named(path):
        model = Encoder(_backbone_name(encoder), **options)
    _fill(model.backbone, encoder, graph, path=path)
    none = np.zeros((0, 3), np.uint8)
    return Checkpoint(model.eval(), (), none, training={"converted_from": path.name})


def _convolutions(graph: Graph) -> list[Convolution]:
    return [operator for operator in graph.operators if isinstance(operator, Convolution)]


def _reads_pooled(convolution: Convolution, graph: Graph) -> bool:
    """Whether it reads the mean over all positions."""
    pools = [operator for operator in graph.operators if operator.kind in ("AVERAGE_POOL_2D", "MEAN")]
    source = convolution.inputs[0]
    return graph.tensors[source].shape[1:3] == (1, 1) and any(source in pool.outputs for pool in pools)


def _backbone_name(encoder: Sequence[Convolution]) -> str:
    return "mobilenetv2" if encoder[1].kind == "DEPTHWISE_CONV_2D" else "mobilenet_edgetpu"


def _backbone_arguments(encoder: Sequence[Convolution]) -> dict[str, Any]:
    stem_channels, in_channels, *_ = encoder[0].weight.shape
    widths = [len(convolution.bias) for convolution in encoder]
    # of the deepest block of a MobileNetV2: narrower layers are rounded, the stem of width 1.4 to that of 1.5
    mobilenetv2 = _backbone_name(encoder) == "mobilenetv2"
    return {
        "in_channels": in_channels,
        "output_stride": prod(convolution.stride[0] for convolution in encoder),
        "depth_multiplier": widths[-1] / STAGES[-1][1] if mobilenetv2 else stem_channels / 32,
        "divisible_by": 8 if all(width % 8 == 0 for width in widths) else 1,
    }


def _normalisation(image: TensorInfo) -> tuple[list[float], list[float]]:
    """Mean and standard deviation, in 0 .. 1, of each channel of the image.

    An 8-bit network reads a pixel of 0 .. 255 as (pixel - zero_point) * scale, and one of signed numbers is given the
    pixel less 128; a float one wants -1 .. 1.
    """
    channels = image.shape[-1]
    if not image.scale.size:
        return [0.5] * channels, [0.5] * channels
    zero_point = float(image.zero_point[0]) + (128 if image.signed else 0)
    return [zero_point / 255] * channels, [1 / (255 * float(image.scale[0]))] * channels


def _check_head(image_pooling: Convolution, pointwise: Convolution, graph: Graph, *, path: Path) -> None:
    """Image pooling has to come first in the concatenation, and every resize has to align corners."""
    branches = {convolution.outputs[0]: convolution for convolution in (image_pooling, pointwise)}
    for operator in graph.operators:
        source = branches.get(operator.inputs[0])
        if source is not None and operator.kind in ("TILE", "RESIZE_BILINEAR", "QUANTIZE"):
            branches[operator.outputs[0]] = source  # the same values: repeated, requantised
        if operator.kind == "RESIZE_BILINEAR" and not operator.align_corners:
            raise CheckpointError(f"{path}: a resize does not align corners; wanted the official DeepLab v3")
        if operator.kind == "CONCATENATION":
            joined = [branches.get(tensor) for tensor in operator.inputs]
            if len(joined) != 2 or joined[0] is not image_pooling or joined[1] is not pointwise:
                raise CheckpointError(f"{path}: wanted image pooling and 1 x 1 joined; {_summary(graph)}")


def _fill(network: nn.Module, convolutions: Sequence[Convolution], graph: Graph, *, path: Path) -> dict[str, str]:
    """Load the convolutions of the file into the layers of `network`; none may be left over or differ.

    Returns:
        Name there -> name here, of weights and biases.
    """
    layers = list(_layers(network))
    if len(layers) != len(convolutions):
        raise CheckpointError(f"{path}: wanted {len(layers)} convolutions; {_summary(graph)}")
    # an ADD reads a block's input, which its first convolution read too, and the output of its last
    added = {tensor for operator in graph.operators if operator.kind == "ADD" for tensor in operator.inputs}
    added -= {convolution.inputs[0] for convolution in convolutions}
    for number, ((layer, norm, wanted), convolution) in enumerate(zip(layers, convolutions, strict=True)):
        came = _facts_of_operator(convolution, shortcut=convolution.outputs[0] in added)
        if came != wanted:
            raise CheckpointError(f"{path}: not a network that we know; convolution {number}: {wanted.but(came)}")
        if not (np.isfinite(convolution.weight).all() and np.isfinite(convolution.bias).all()):
            raise CheckpointError(f"{path}: convolution {number} has infinite weights; get the file anew")
        _load(layer, norm, convolution)
    names = {module: name for name, module in network.named_modules()}
    placed: dict[str, str] = {}
    for number, ((layer, norm, _), convolution) in enumerate(zip(layers, convolutions, strict=True)):
        theirs = _layer_there(convolution, graph)
        theirs = theirs if theirs and f"{theirs}/weights" not in placed else f"convolution {number}"
        placed[f"{theirs}/weights"] = f"{names[layer]}.weight"
        placed[f"{theirs}/biases"] = f"{names[norm or layer]}.bias"
    return placed


def _layer_there(convolution: Convolution, graph: Graph) -> str:
    """TensorFlow's name of the layer, before that of its weights; the converter joins several names by ";"."""
    return graph.tensors[convolution.inputs[1]].name.partition(";")[0].rpartition("/")[0]


def _load(conv: nn.Conv2d, norm: BatchNorm | None, convolution: Convolution) -> None:
    weight, bias = torch.from_numpy(convolution.weight), torch.from_numpy(convolution.bias)
    if norm is None:
        conv.load_state_dict({"weight": weight, "bias": bias})
        return
    conv.load_state_dict({"weight": weight})
    passing = {
        "running_mean": torch.zeros_like(bias),
        "running_var": torch.full_like(bias, 1 - norm.eps),  # the norm divides by the root of variance + eps
        "weight": torch.ones_like(bias),
        "bias": bias,
    }
    norm.load_state_dict({**norm.state_dict(), **passing})


class _Facts(NamedTuple):
    """What an operator of the file and the layer that takes its weights have to agree on."""

    kind: str
    weight: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: str
    activation: str
    shortcut: bool

    def but(self, came: _Facts) -> str:
        """The facts wanted here that differ in `came`, in words."""
        pairs = zip(self._fields, self, came, strict=True)
        return ", ".join(f"{name} is {other}, wanted {fact}" for name, fact, other in pairs if fact != other)


def _facts_of_operator(convolution: Convolution, *, shortcut: bool) -> _Facts:
    return _Facts(
        convolution.kind,
        convolution.weight.shape,
        convolution.stride,
        convolution.dilation,
        convolution.padding,
        convolution.activation,
        shortcut,
    )


def _layers(network: nn.Module) -> Iterator[tuple[nn.Conv2d, BatchNorm | None, _Facts]]:
    """Every convolution of a backbone or model in the order in which it was built, which is the graph's."""
    before_shortcut = {module.project for module in network.modules() if getattr(module, "residual", False)}
    for module in network.modules():
        if isinstance(module, ConvNormAct):
            activation = next(name for name, act in ACTIVATIONS.items() if type(module.act) is act)
            facts = _facts_of_layer(module.conv, activation=activation, shortcut=module in before_shortcut)
            yield module.conv, module.norm, facts
    if isinstance(network, DeepLabV3):
        yield network.classify, None, _facts_of_layer(network.classify, activation="none", shortcut=False)


def _facts_of_layer(conv: nn.Conv2d, *, activation: str, shortcut: bool) -> _Facts:
    kind = "CONV_2D" if conv.groups == 1 else "DEPTHWISE_CONV_2D"
    return _Facts(kind, tuple(conv.weight.shape), conv.stride, conv.dilation, "same", activation, shortcut)


def _summary(graph: Graph) -> str:
    return f"the file has {len(graph.operators)} operators, {len(_convolutions(graph))} of them convolutions"


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """An output stride or width that we cannot build is the file's fault."""
    try:
        yield
    except SettingsError as error:
        raise CheckpointError(f"{path}: not a network that we know ({error})") from error
