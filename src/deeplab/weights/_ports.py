"""What the ports of DeepLab to PyTorch have in common: torchvision's names, and where their channels lie."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from torch import Tensor

from deeplab.backbones.mobilenetv2 import STAGES
from deeplab.backbones.mobilenetv3 import LARGE, SMALL
from deeplab.errors import CheckpointError
from deeplab.weights._source import Tensors

PARTS = (("conv", "conv"), ("bn", "norm"))

RESNETS = {
    (2, False): "resnet18",
    (6, False): "resnet34",
    (6, True): "resnet50",
    (23, True): "resnet101",
    (36, True): "resnet152",
}
"""By the units in the third stage, and whether they are bottlenecks."""

MULTIPLIERS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)
"""Widths of MobileNetV2 that were published."""

RESNET = (
    (r"conv1\.", "backbone.stem.conv."),
    (r"bn1\.", "backbone.stem.norm."),
    *(
        (rf"layer{stage}\.(\d+)\.{theirs}\.", rf"backbone.res{stage + 1}.\1.{ours}.")
        for stage in (1, 2, 3, 4)
        for theirs, ours in (
            *((f"{kind}{index}", f"conv{index}.{our_kind}") for index in (1, 2, 3) for kind, our_kind in PARTS),
            *((f"downsample.{index}", f"shortcut.{our_kind}") for index, (_, our_kind) in enumerate(PARTS)),
        )
    ),
)
"""The names that torchvision gives a ResNet, and after it nearly everybody."""

REDUCE = "decoder.0.reduce.conv.weight"
"""What a v3+ has and a v3 has not."""

IMAGENET = {"image_mean": (0.485, 0.456, 0.406), "image_std": (0.229, 0.224, 0.225)}
"""What the ports subtract from an image and divide it by, whatever the backbone."""


def mobilenetv2_rules(prefix: str, *, flat: bool = False) -> Iterator[tuple[str, str]]:
    """The names that torchvision gives MobileNetV2 behind the regular expression `prefix`; or, `flat`, those of older
    code, where the layers of a block lie in one row."""
    for index, (_, part) in enumerate(PARTS):
        yield rf"{prefix}0\.{index}\.", f"backbone.stem.{part}."
        yield rf"{prefix}18\.{index}\.", f"backbone.last.{part}."
    for unit in range(17):
        layers = ("depthwise", "project") if unit == 0 else ("expand", "depthwise", "project")
        for place, layer in enumerate(layers):
            for index, (_, part) in enumerate(PARTS):
                theirs = rf"{place}\.{index}" if layer != "project" else f"{place + index}"
                theirs = f"{3 * place + index}" if flat else theirs
                yield rf"{prefix}{unit + 1}\.conv\.{theirs}\.", f"backbone.blocks.{unit}.{layer}.{part}."


def mobilenetv3_rules(found: Collection[str], prefix: str) -> Iterator[tuple[str, str]]:
    """The names that torchvision gives MobileNetV3, large or small as those `found` are, a module `prefix`."""
    rows, start = (LARGE if f"{prefix}.16.0.weight" in found else SMALL), re.escape(prefix)
    for index, (_, part) in enumerate(PARTS):
        yield rf"{start}\.0\.{index}\.", f"backbone.stem.{part}."
        yield rf"{start}\.{len(rows) + 1}\.{index}\.", f"backbone.last.{part}."
    channels = 16
    for block, row in enumerate(rows):
        layers = ["expand"] * (row.expanded > channels) + ["depthwise"] + ["squeeze"] * row.squeeze + ["project"]
        for place, layer in enumerate(layers):
            parts = (("fc1", "reduce"), ("fc2", "expand")) if layer == "squeeze" else (("0", "conv"), ("1", "norm"))
            for theirs, ours in parts:
                yield rf"{start}\.{block + 1}\.block\.{place}\.{theirs}\.", f"backbone.blocks.{block}.{layer}.{ours}."
        channels = row.channels


def aspp_rules(prefix: str, *, separable: bool = False) -> Iterator[tuple[str, str]]:
    """The names that torchvision gives its ASPP, a module `prefix`, and others after it, some with separable branches;
    those are not normalised between depthwise and pointwise."""
    branch_layers = [("0", "conv"), ("1", "norm")]
    if separable:
        branch_layers = [("0.0", "depthwise"), ("0.1", "pointwise.conv"), ("1", "pointwise.norm")]
    places = [("convs.0.0", "pointwise.conv"), ("convs.0.1", "pointwise.norm")]
    places += [
        (f"convs.{branch + 1}.{theirs}", f"atrous.{branch}.{ours}")
        for branch in (0, 1, 2)
        for theirs, ours in branch_layers
    ]
    places += [("convs.4.1", "image_pooling.conv"), ("convs.4.2", "image_pooling.norm")]
    places += [("project.0", "project.conv"), ("project.1", "project.norm")]
    for theirs, ours in places:
        yield re.escape(f"{prefix}.{theirs}."), f"aspp.{ours}."


def resnet_name(tensors: Tensors) -> str:
    """Which ResNet these tensors are of: by its units. Raises CheckpointError where it is none that we have."""
    units = {name.split(".")[2] for name in tensors if name.startswith("backbone.res4.")}
    name = RESNETS.get((len(units), "backbone.res2.0.conv3.conv.weight" in tensors))
    if name is None:
        raise CheckpointError(f"a ResNet of {len(units)} units in its third stage; wanted ResNet-18 to -152")
    return name


def mobilenetv2_multiplier(tensors: Tensors) -> float:
    """The width of a MobileNetV2 over its nominal one, of those that were published."""
    deepest = len(tensors["backbone.blocks.16.project.conv.weight"])
    return min(MULTIPLIERS, key=lambda multiplier: abs(STAGES[-1][1] * multiplier - deepest))


def mobilenetv3_name(tensors: Tensors) -> str:
    """Which MobileNetV3 these tensors are of: by its blocks."""
    return f"mobilenetv3_{'large' if f'backbone.blocks.{len(LARGE) - 1}.project.conv.weight' in tensors else 'small'}"


def has_decoder(tensors: Tensors) -> bool:
    """Whether these tensors are of a DeepLab v3+, not of a v3."""
    return REDUCE in tensors


def pooling_first(tensors: Tensors) -> dict[str, Tensor]:
    """ASPP's projection for our order of the branches, image pooling first as in the official code, for one of a
    system that has it last."""
    name = "aspp.project.conv.weight"
    channels = tensors["aspp.pointwise.conv.weight"].shape[0]
    return {**tensors, name: tensors[name].roll(channels, dims=1)}


def pooling_first_detail_last(tensors: Tensors) -> dict[str, Tensor]:
    """`pooling_first`, and the first layer of a decoder, where there is one, for a concatenation that ends with the
    low-level features, for one of a system where it begins with them."""
    arranged = pooling_first(tensors)
    if has_decoder(tensors):
        name, channels = "decoder.0.decode.0.conv.weight", tensors[REDUCE].shape[0]
        arranged[name] = tensors[name].roll(-channels, dims=1)
    return arranged
