"""DeepLab v3 and v3+ on ResNet and MobileNetV2 from OpenMMLab's mmsegmentation, of its 0.x and 1.x.

Its files carry their classes and, as text, their configuration. What the tensors do not tell is taken from there:
where strides became dilations, `multi_grid`, `align_corners`, the normalisation. A file without, a state dict alone, is
taken for a "D8" model, the most of those that were published. The auxiliary head, which only training uses, is left
behind.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from math import prod
from operator import mul
from pathlib import Path
from typing import Any

import numpy as np

from deeplab.backbones.mobilenetv2 import STAGES
from deeplab.checkpoints import Checkpoint
from deeplab.errors import CheckpointError
from deeplab.layers import ATROUS_RATES
from deeplab.weights._ports import PARTS, RESNET, has_decoder, mobilenetv2_multiplier, resnet_name
from deeplab.weights._source import Conversion, Rules, Source, Tensors, combined
from deeplab.weights._state import read_content, weights_in

__all__ = ["convert", "source"]

LAYERS = (
    (r"image_pool\.1", "aspp.image_pooling"),
    (r"aspp_modules\.0", "aspp.pointwise"),
    *(
        (rf"aspp_modules\.{branch + 1}{theirs}", f"aspp.atrous.{branch}{ours}")
        for branch in range(9)
        for theirs, ours in ((r"\.depthwise_conv", ".depthwise"), (r"\.pointwise_conv", ".pointwise"), ("", ""))
    ),
    ("bottleneck", "aspp.project"),
    ("c1_bottleneck", "decoder.0.reduce"),
    (r"sep_bottleneck\.(\d)\.(depthwise|pointwise)_conv", r"decoder.0.decode.\1.\2"),
)

RESNET_V1C = (
    *((rf"backbone\.{theirs}", ours) for theirs, ours in RESNET),
    *(
        (rf"backbone\.stem\.{3 * layer + index}\.", f"backbone.stem.{layer}.{part}.")
        for layer in (0, 1, 2)
        for index, (_, part) in enumerate(PARTS)
    ),
)
"""With the stem of three 3 x 3, or without."""

HEAD = (
    *combined(
        ((rf"decode_head\.{theirs}", ours) for theirs, ours in LAYERS),
        [(rf"\.{theirs}\.", f".{ours}.") for theirs, ours in PARTS],
    ),
    (r"decode_head\.conv_seg\.", "classify."),
)


def _mobilenetv2() -> Iterator[tuple[str, str]]:
    blocks = [(stage, block) for stage, (_, _, count, _) in enumerate(STAGES) for block in range(count)]
    for theirs, ours in PARTS:
        yield rf"backbone\.conv1\.{theirs}\.", f"backbone.stem.{ours}."
        for unit, (stage, block) in enumerate(blocks):
            layers = ("expand", "depthwise", "project")[unit == 0 :]
            for place, layer in enumerate(layers):
                start = rf"backbone\.layer{stage + 1}\.{block}\.conv\.{place}\."
                yield rf"{start}{theirs}\.", f"backbone.blocks.{unit}.{layer}.{ours}."


def rules(found: Collection[str]) -> Rules:
    return (*(_mobilenetv2() if "backbone.conv1.conv.weight" in found else RESNET_V1C), *HEAD)


PUBLISHED: Mapping[str, Any] = {
    "backbone": {"strides": [1, 2, 1, 1], "dilations": [1, 1, 2, 4], "contract_dilation": True},
    "decode_head": {"dilations": [1, 12, 24, 36], "align_corners": False},
    "img_norm_cfg": {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]},
}
"""configs/_base_/models/deeplabv3_r50-d8.py and deeplabv3plus_r50-d8.py, of what tensors do not tell; the image's
mean and standard deviation are of RGB in 0 .. 255."""


MOBILENETV2_D8 = {
    "type": "MobileNetV2",
    "strides": (1, 2, 2, 1, 1, 1, 1),
    "dilations": (1, 1, 1, 2, 2, 4, 4),
}
"""Of configs/mobilenet_v2/mobilenet-v2-d8_deeplabv3_4xb2-80k_cityscapes-512x1024.py."""

RESNET_STRIDES, MOBILENETV2_STRIDES = (1, 2, 2, 2), (1, 2, 2, 2, 1, 2, 1)
"""Of the stages, where none is dilated."""

FIRST_LAYERS = ("backbone.conv1.weight", "backbone.stem.0.weight", "backbone.conv1.conv.weight")
"""The weights that read the image."""


def network(tensors: Tensors) -> dict[str, Any]:
    """What the tensors tell, and for the rest a "D8" model."""
    plus = has_decoder(tensors)
    network: dict[str, Any] = {
        "name": "deeplabv3plus" if plus else "deeplabv3",
        "aspp_channels": len(tensors["aspp.pointwise.conv.weight"]),
        "aspp_separable": "aspp.atrous.0.depthwise.conv.weight" in tensors,
        "aspp_project_kernel_size": 3,
        "pad_to_grid": False,
    }
    if plus:
        network["low_level_channels"] = len(tensors["decoder.0.reduce.conv.weight"])
        network["decoder_channels"] = len(tensors["decoder.0.decode.0.pointwise.conv.weight"])
    if "backbone.blocks.0.depthwise.conv.weight" in tensors:
        multiplier = mobilenetv2_multiplier(tensors)
        backbone = {"backbone": "mobilenetv2", "depth_multiplier": multiplier, "detail": "output", "norm_eps": 1e-5}
        published = configured({**PUBLISHED, "backbone": MOBILENETV2_D8})
        return {**network, **backbone, **published, "stage_dilation": "first"}
    network["backbone"] = resnet_name(tensors)
    if network["backbone"] in ("resnet18", "resnet34"):
        network["dilate_second"] = False
    stem = [len(tensors[name]) for index in range(3) if (name := f"backbone.stem.{index}.conv.weight") in tensors]
    return {**network, **configured(PUBLISHED), "stem_channels": stem or (64,)}


def configured(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a configuration, its `model`, says beyond the tensors; mmsegmentation's own defaults where it is silent.

    Raises:
        CheckpointError: It is of a network that cannot be built here.
    """
    backbone, head = config["backbone"], config["decode_head"]
    mobile = backbone.get("type") == "MobileNetV2"
    nominal = MOBILENETV2_STRIDES if mobile else RESNET_STRIDES
    strides = tuple(backbone.get("strides", nominal))
    dilations = _dilations(strides, nominal)
    given = tuple(backbone.get("dilations", (1,) * len(nominal)))
    stages = len(given) - bool(backbone.get("multi_grid"))  # that is the dilations of the last stage themselves
    if given[:stages] != dilations[:stages]:
        raise CheckpointError(f"strides {strides} want dilations {dilations} here, its configuration has {given}")
    output_stride = (2 if mobile else 4) * prod(strides)
    image = _image(config)
    order = -1 if _wants_bgr(config) else 1
    rates = tuple(head.get("dilations", (1, 6, 12, 18))[1:])
    return {
        **({} if mobile else _resnet(backbone, dilations)),
        "output_stride": output_stride,
        "atrous_rates": None if rates == ATROUS_RATES.get(output_stride) else rates,
        "align_corners": head.get("align_corners", False),
        "image_mean": [value / 255 for value in image["mean"][::order]],
        "image_std": [value / 255 for value in image["std"][::order]],
    }


def _image(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The normalisation of the image, in 1.x or in 0.x."""
    known = (config.get("data_preprocessor"), config.get("img_norm_cfg"), PUBLISHED["img_norm_cfg"])
    return next(image for image in known if image)


def _wants_bgr(config: Mapping[str, Any]) -> bool:
    """Whether the network sees BGR, as the files of images are read there, and its mean is of that order."""
    if config.get("data_preprocessor"):
        return not config["data_preprocessor"].get("bgr_to_rgb", False)
    return not _image(config).get("to_rgb", True)


def _dilations(strides: tuple[int, ...], nominal: tuple[int, ...]) -> tuple[int, ...]:
    """Those of the stages where the last strides are 1 and dilations stand in their place."""
    if not any(strides == nominal[:stop] + (1,) * (len(nominal) - stop) for stop in range(len(nominal) + 1)):
        raise CheckpointError(f"strides {strides} are not built here; wanted {nominal}, or 1 from some stage on")
    return tuple(whole // ours for whole, ours in zip(accumulate(nominal, mul), accumulate(strides, mul), strict=True))


def _resnet(backbone: Mapping[str, Any], dilations: tuple[int, ...]) -> dict[str, Any]:
    """Their `multi_grid` is the dilations themselves, ours multiplies those of the stage."""
    options: dict[str, Any] = {"dilate_first": not backbone.get("contract_dilation", False)}
    if backbone.get("style") == "caffe" and backbone.get("depth") not in (18, 34):
        options["stride_in"] = "1x1"
    if not backbone.get("multi_grid"):
        return options
    before, after = dilations[-2:]
    if before == 1:  # only the last stage is dilated, and `multi_grid` has its first unit
        options["dilate_first"] = False
    stage = [after if options["dilate_first"] else before, *[after] * (len(backbone["multi_grid"]) - 1)]
    pairs = list(zip(backbone["multi_grid"], stage, strict=True))
    if any(dilation % of_stage for dilation, of_stage in pairs):
        raise CheckpointError(
            f"multi_grid {tuple(backbone['multi_grid'])} is no multiple of the stage's {tuple(stage)}"
        )
    return {**options, "multi_grid": tuple(dilation // of_stage for dilation, of_stage in pairs)}


source = Source(
    title="mmsegmentation's DeepLab v3 or v3+ on ResNet or MobileNetV2",
    rules=rules,
    network=network,
    left_behind=(r"auxiliary_head\.",),
)


def convert(path: str | Path, *, output_stride: int | None = None) -> Conversion:
    """As `Source.convert`; the classes, their colours and the configuration are those of the file, where it has them.

    Args:
        output_stride: None: that of the file's configuration.
    """
    content = read_content(Path(path))
    facts = content.get("meta") if isinstance(content, Mapping) else None
    facts = facts if isinstance(facts, Mapping) else {}
    config = model_of(facts.get("config") or facts.get("cfg"))
    try:
        options = configured(config) if config else {}
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise CheckpointError(f"{path}: its configuration is of another network; wanted {source.title}") from error
    if output_stride is not None:
        options["output_stride"] = output_stride
    tensors = weights_in(content, Path(path))
    if config and _wants_bgr(config):
        firsts = {name: tensors[name] for name in FIRST_LAYERS if name in tensors and tensors[name].ndim == 4}
        tensors |= {name: tensor.flip(1) for name, tensor in firsts.items()}
    conversion = source.from_tensors(tensors, what=str(path), **options)
    checkpoint = _named(conversion.checkpoint, facts)
    told = checkpoint.classes is not conversion.checkpoint.classes
    assumed = {name: value for name, value in conversion.assumed.items() if not (told and name == "classes")}
    return replace(conversion, checkpoint=checkpoint, assumed=assumed)


def _named(checkpoint: Checkpoint, facts: Mapping[str, Any]) -> Checkpoint:
    """With the classes and colours of the file's `meta`, as 1.x and 0.x write them, where their number fits."""
    known = facts.get("dataset_meta")
    if not isinstance(known, Mapping):
        known = {"classes": facts.get("CLASSES"), "palette": facts.get("PALETTE")}
    classes = known.get("classes")
    if isinstance(classes, Sequence) and len(classes) == len(checkpoint.classes):
        checkpoint = replace(checkpoint, classes=tuple(map(str, classes)))
    try:
        palette = np.array(known.get("palette"), np.uint8)
    except (TypeError, ValueError, OverflowError):  # none, or not colours
        return checkpoint
    return replace(checkpoint, palette=palette) if palette.shape == checkpoint.palette.shape else checkpoint


def model_of(text: Any) -> Mapping[str, Any] | None:
    """The `model` of a configuration, Python code which is read and not run, with the `img_norm_cfg` that stands beside
    it in 0.x; None where there is none."""
    try:
        statements = ast.parse(text).body if isinstance(text, str) else []
        values = {_name_of(each): each.value for each in statements if isinstance(each, ast.Assign)}
        found: dict[str, Any] = {name: _plain(values[name]) for name in ("model", "img_norm_cfg") if name in values}
    except (SyntaxError, ValueError, TypeError, RecursionError):
        return None
    model = found.pop("model", None)
    return {**found, **model} if isinstance(model, Mapping) else None


def _name_of(assignment: ast.Assign) -> str:
    return ast.unparse(assignment.targets[0])


def _plain(node: ast.expr) -> Any:
    """The value of nested dicts, lists and constants, `dict(...)` among them; of all else its text."""
    if isinstance(node, ast.Call):
        return {keyword.arg: _plain(keyword.value) for keyword in node.keywords}
    if isinstance(node, ast.Dict):
        return {ast.literal_eval(key): _plain(value) for key, value in zip(node.keys, node.values, strict=True) if key}
    if isinstance(node, ast.List | ast.Tuple):
        return [_plain(item) for item in node.elts]
    return node.value if isinstance(node, ast.Constant) else ast.unparse(node)
