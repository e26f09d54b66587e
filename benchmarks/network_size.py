"""Parameters and multiply-adds of our networks beside those of others: writes docs/networks.md.

    python benchmarks/network_size.py --shared ../shared --output docs/networks.md

The networks are built without memory, on PyTorch's "meta" device, and see one image. What others have was measured on
their own networks (../shared/golden/params_madds) or published. A measured number that ours is not equal to has to be
explained to the last unit, or the command fails.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from torch import Tensor, nn

from deeplab.catalog import entries
from deeplab.files import written_aside
from deeplab.models import SegmentationModel, create_model


class Size(NamedTuple):
    """Of a network: its numbers to learn, and the multiply-adds of its convolutions for one image."""

    parameters: int
    multiply_adds: int
    in_whole_cells: int
    """Multiply-adds with each dilated convolution computed up to the next multiple of its dilation, as TensorFlow."""


class Difference(NamedTuple):
    """What theirs has and ours has not."""

    why: str
    parameters: int
    multiply_adds: int


class Row(NamedTuple):
    """A network that somebody else has measured or published."""

    theirs: str
    """Where the numbers are from; a key of torch.json or tensorflow.json, less the size, where they were measured."""
    size: tuple[int, int]
    """(height, width) of the image."""
    arguments: dict[str, Any]
    """Of `create_model`."""
    published: tuple[float | None, float | None] | None = None
    """Parameters and multiply-adds, if they were not measured but published, rounded."""
    difference: Difference | None = None
    scales: Sequence[float] = (1.0,)
    """Several: the image is seen at each, and mirrored, and the multiply-adds are the sum."""


LARGE, STREET = (513, 513), (1025, 2049)


def network(name: str, backbone: str, output_stride: int = 16, **options: Any) -> dict[str, Any]:
    """The arguments of `create_model`."""
    return {"name": name, "backbone": backbone, "output_stride": output_stride, **options}


V1 = partial(network, "deeplabv1")
V2 = partial(network, "deeplabv2")
V3 = partial(network, "deeplabv3")
LIGHT = partial(network, "deeplabv3", atrous_rates=())
V3_PLUS = partial(network, "deeplabv3plus")
BETA = partial(
    network, "deeplabv3plus", stem_channels=(64, 64, 128), stride_unit="last", detail="before_add", padding="same",
    multi_grid=(1, 2, 4),
)  # fmt: skip
CELL = partial(network, "deeplabv3plus", "xception71", dense_prediction_cell="cityscapes", num_classes=19)
MOBILENETV3 = partial(
    network, "deeplabv3plus", atrous_rates=(), aspp_channels=128, aspp_project=False, squeeze_excite="hard_sigmoid",
    image_pooling_crop_size=(769, 769), image_pooling_stride=(4, 5), decoder_strides=(8,), decoder_merge="sum",
    decoder_logits=True, num_classes=19,
)  # fmt: skip
FULL: dict[str, Any] = {"aspp_separable": False, "decoder_separable": False}
TORCHVISION = partial(network, "deeplabv3", atrous_rates=(12, 24, 36), head_conv=True, align_corners=False)
VAINF_V3 = partial(network, "deeplabv3", head_conv=True, align_corners=False)
VAINF = partial(
    network, "deeplabv3plus", aspp_separable=False, decoder_separable=False, decoder_convs=1, align_corners=False
)
SMP_V3 = partial(network, "deeplabv3", dilate_first=True, head_conv=True, pad_to_grid=False)
SMP = partial(
    network, "deeplabv3plus", dilate_first=True, atrous_rates=(12, 24, 36), head_conv=True, norm_between=False,
    decoder_convs=1, pad_to_grid=False,
)  # fmt: skip
JFZHANG95 = partial(
    network, "deeplabv3plus", multi_grid=(1, 2, 4), dilate_first=True, aspp_separable=False, decoder_separable=False,
    pad_to_grid=False,
)  # fmt: skip
DETECTRON2 = partial(
    network, "deeplabv3plus", stem_channels=(64, 64, 128), multi_grid=(1, 2, 4), dilate_first=True,
    aspp_separable=False, decoder_separable=False, pooling_norm=False, num_classes=19, align_corners=False,
)  # fmt: skip
CAFFE: dict[str, Any] = {"stride_in": "1x1", "padding": "caffe", "align_corners": False}
KAZUTO = {**CAFFE, "multi_grid": (1, 2, 4), "scales": (0.5, 0.75, 1.0)}
HUGGING_FACE = partial(network, "deeplabv3", atrous_rates=(), padding="same", pad_to_grid=False)
HALF: dict[str, Any] = {"depth_multiplier": 0.5, "divisible_by": 1}

AUXILIARY = Difference(
    "its auxiliary classifier, for training",
    1024 * 256 * 9 + 2 * 256 + 256 * 21 + 21,
    (1024 * 256 * 9 + 256 * 21) * 65**2,
)
POOLING = Difference("no BatchNorm after its image pooling", -2 * 256, 0)


def unread(width: int, side: int) -> Difference:
    """The 1 x 1 on the last `width` channels, of side x side, that Hugging Face's network computes for nobody."""
    return Difference("its 1 x 1 to 1280 channels, which nothing reads", (width + 2) * 1280, width * 1280 * side**2)


VOC_SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
STREET_SCALES = (0.75, 1.0, 1.25)
TABLE_2 = "v1 paper, Table 2"
MODEL_ZOO = "model_zoo.md of the official code"

ROWS = (
    Row(TABLE_2, LARGE, V1("vgg16", 8, kernel_size=7, atrous_rate=4, hidden_channels=4096), (134.3e6, None)),
    Row(TABLE_2, LARGE, V1("vgg16", 8, kernel_size=4, atrous_rate=4, hidden_channels=4096), (65.1e6, None)),
    Row(TABLE_2, LARGE, V1("vgg16", 8, kernel_size=4, atrous_rate=8, hidden_channels=4096), (65.1e6, None)),
    Row(TABLE_2, LARGE, V1("vgg16", 8), (20.5e6, None)),
    Row(MODEL_ZOO, LARGE, LIGHT("mobilenetv2", **HALF), (None, 0.88e9)),
    Row(MODEL_ZOO, LARGE, LIGHT("mobilenetv2", 8, **HALF), (None, 2.84e9)),
    Row(MODEL_ZOO, LARGE, LIGHT("mobilenetv2"), (None, 2.75e9)),
    Row(MODEL_ZOO, LARGE, LIGHT("mobilenetv2", 8), (None, 152.59e9), scales=VOC_SCALES),
    Row(MODEL_ZOO, LARGE, V3_PLUS("xception65"), (None, 54.17e9)),
    Row(MODEL_ZOO, LARGE, V3_PLUS("xception65", 8), (None, 3055.35e9), scales=VOC_SCALES),
    Row(MODEL_ZOO, STREET, LIGHT("mobilenetv2", num_classes=19), (None, 21.27e9)),
    Row(MODEL_ZOO, STREET, LIGHT("mobilenetv2", 8, num_classes=19), (None, 433.24e9), scales=STREET_SCALES),
    Row(MODEL_ZOO, STREET, V3_PLUS("xception65", num_classes=19), (None, 418.64e9)),
    Row(MODEL_ZOO, STREET, V3_PLUS("xception65", 8, num_classes=19), (None, 8677.92e9), scales=STREET_SCALES),
    Row("mobilenetv2_voc os16", LARGE, LIGHT("mobilenetv2")),
    Row("mobilenetv2_voc os8", LARGE, LIGHT("mobilenetv2", 8)),
    Row("mobilenetv2_voc os16", STREET, LIGHT("mobilenetv2")),
    Row("mobilenetv2_voc os8", STREET, LIGHT("mobilenetv2", 8)),
    Row("mobilenetv2_dm05_voc os16", LARGE, LIGHT("mobilenetv2", **HALF)),
    Row("mobilenetv2_dm05_voc os8", LARGE, LIGHT("mobilenetv2", 8, **HALF)),
    Row("mobilenetv2_aspp_decoder os16", LARGE, V3_PLUS("mobilenetv2")),
    Row("mobilenetv2_aspp_decoder os16", STREET, V3_PLUS("mobilenetv2")),
    Row("mobilenetv2_decoder_ade20k os16", LARGE, V3_PLUS("mobilenetv2", atrous_rates=(), num_classes=151)),
    Row("mobilenet_edgetpu os16", LARGE, LIGHT("mobilenet_edgetpu", num_classes=19)),
    Row("mobilenet_edgetpu os32", STREET, LIGHT("mobilenet_edgetpu", 32, num_classes=19)),
    Row("xception41_v3plus_fullconv os16", LARGE, V3_PLUS("xception41", **FULL, num_classes=19)),
    Row("xception65_v3_nodecoder os16", LARGE, V3("xception65", aspp_separable=True)),
    Row("xception65_v3plus os16", LARGE, V3_PLUS("xception65")),
    Row("xception65_v3plus os8", LARGE, V3_PLUS("xception65", 8)),
    Row("xception71_dpc os16", LARGE, CELL()),
    Row(MODEL_ZOO, STREET, CELL(), (None, 502.07e9)),
    Row("resnet18beta_v3plus os16", LARGE, BETA("resnet18", stem_channels=(16, 16, 32), multi_grid=None)),
    Row("resnet50beta_v3plus os16", LARGE, BETA("resnet50")),
    Row("resnet101beta_v3plus os16", LARGE, BETA("resnet101")),
    Row("resnet101beta_v3plus os8", LARGE, BETA("resnet101", 8)),
    Row("resnet50_v3_nodecoder os16", LARGE, V3("resnet50", aspp_separable=True, stride_unit="last", padding="same")),
    Row("mobilenetv3_large_seg os32", LARGE, MOBILENETV3("mobilenetv3_large_seg", 32)),
    Row("mobilenetv3_large_seg os32", STREET, MOBILENETV3("mobilenetv3_large_seg", 32)),
    Row("mobilenetv3_small_seg os32", LARGE, MOBILENETV3("mobilenetv3_small_seg", 32)),
    Row("mobilenetv3_small_seg os32", STREET, MOBILENETV3("mobilenetv3_small_seg", 32)),
    Row("torchvision/deeplabv3_resnet50", LARGE, TORCHVISION("resnet50", 8), difference=AUXILIARY),
    Row("torchvision/deeplabv3_resnet101", LARGE, TORCHVISION("resnet101", 8), difference=AUXILIARY),
    Row("vainf/deeplabv3_resnet101_os16", LARGE, VAINF_V3("resnet101")),
    Row("vainf/deeplabv3plus_resnet50_os16", LARGE, VAINF("resnet50")),
    Row("vainf/deeplabv3plus_resnet50_os8", LARGE, VAINF("resnet50", 8)),
    Row("smp/deeplabv3_resnet50_os16", (512, 512), SMP_V3("resnet50")),
    Row("smp/deeplabv3_resnet50_os8", (512, 512), SMP_V3("resnet50", 8)),
    Row("smp/deeplabv3plus_resnet18_os16", (512, 512), SMP("resnet18")),
    Row("smp/deeplabv3plus_resnet50_os16", (512, 512), SMP("resnet50")),
    Row("smp/deeplabv3plus_resnet50_os8", (512, 512), SMP("resnet50", 8)),
    Row("jfzhang95/deeplab_resnet_os16", LARGE, JFZHANG95("resnet101")),
    Row("jfzhang95/deeplab_resnet_os8", LARGE, JFZHANG95("resnet101", 8)),
    Row("detectron2/deeplabv3plus_r103_os16_globalpool", LARGE, DETECTRON2("resnet101")),
    Row("panoptic_deeplab/deeplabv3_r50_os8", LARGE, V3("resnet50", 8, head_conv=True, num_classes=19),
        difference=POOLING),
    Row("panoptic_deeplab/deeplabv3plus_r50_os16", LARGE, V3_PLUS("resnet50", aspp_separable=False, num_classes=19),
        difference=POOLING),
    Row("kazuto1011/deeplabv1_resnet101", LARGE, V2("resnet101", 8, atrous_rates=(1,), kernel_size=1, **CAFFE)),
    Row("kazuto1011/deeplabv2_resnet101_msc", LARGE, V2("resnet101", 8, scales=(0.5, 0.75, 1.0), **CAFFE)),
    Row("kazuto1011/deeplabv3_resnet101_msc_os16", LARGE, V3("resnet101", **KAZUTO)),
    Row("kazuto1011/deeplabv3_resnet101_msc_os8", LARGE, V3("resnet101", 8, **KAZUTO)),
    Row("kazuto1011/deeplabv3plus_resnet101_msc_os16", LARGE, V3_PLUS("resnet101", **FULL, **KAZUTO)),
    Row("hf/mobilenetv2_dm035_os16", LARGE, HUGGING_FACE("mobilenetv2", depth_multiplier=0.35),
        difference=unread(112, 33)),
    Row("hf/mobilenetv2_dm035_os8", LARGE, HUGGING_FACE("mobilenetv2", 8, depth_multiplier=0.35),
        difference=unread(112, 65)),
    Row("hf/mobilenetv2_dm10_os16_depth_divisible", LARGE, HUGGING_FACE("mobilenetv2"), difference=unread(320, 33)),
)  # fmt: skip

VARIANTS = (
    V1("vgg16", 8),
    V1("vgg16", 8, multi_scale=True),
    V2("vgg16", 8, hidden_channels=1024),
    V2("resnet101", 8),
    V2("resnet101", 8, scales=(0.5, 0.75, 1.0)),
    V3("resnet101"),
    V3("resnet101", 8),
    V3("resnet101", cascade_blocks=3, multi_grid=(1, 2, 1)),
    V3_PLUS("resnet101"),
    V3_PLUS("resnet101", 8),
)
"""The papers' forms, in their order."""

HEADER = (
    "# The size of the networks\n\n"
    "Written by `python benchmarks/network_size.py --shared ../shared --output docs/networks.md`.\n\n"
    "Parameters are what is learnt, with 21 classes unless told; the running statistics of BatchNorm are none. "
    "Multiply-adds are those of the convolutions for one image. The ratio is ours over theirs; what was measured on "
    'their network is "equal" to the last digit, or the difference is named, and it is the whole of it.\n\n'
    "## Beside others\n\n"
    "| network | options | image | parameters | theirs | ratio | multiply-adds | theirs | ratio | theirs is of | "
    "the difference |\n|---|---|---|---|---|---|---|---|---|---|---|\n"
)

FOOTNOTES = (
    "\nWhole cells: TensorFlow takes the input of a dilated convolution apart into cells of the dilation and pads it "
    "to whole ones; what is computed on that padding is in their number.\n\n"
    "The multiply-adds of model_zoo.md are, where that was measured, half of the floating-point operations that "
    "TensorFlow's profiler counts on the original graph, some of them in no convolution, or up to 0.011 B more: "
    "2.749 B for MobileNetV2 and 54.162 B for Xception-65 at 513 x 513 and stride 16, 0.871 B for "
    "MobileNetV2 of width 0.5.\n\n"
    "## Every variant\n\n"
    "With 21 classes, for an image of 513 x 513.\n\n"
    "| network | options | parameters | multiply-adds |\n|---|---|---|---|\n"
)

BACKBONES = (
    "\n## Every backbone\n\n"
    "Under `deeplabv3plus` at output stride 16, with 21 classes, for an image of 513 x 513.\n\n"
    "| backbone | its parameters | parameters | multiply-adds |\n|---|---|---|---|\n"
)


def on_meta(**arguments: Any) -> SegmentationModel:
    """The model without memory, in evaluation."""
    with torch.device("meta"):
        return create_model(**arguments).eval()


@torch.inference_mode()
def network_size(model: nn.Module, image: Tensor) -> Size:
    """Count the parameters of `model`, and the multiply-adds of its convolutions and linear layers for `image`.

    Args:
        image: (N, C, H, W), on the device of the model; "meta" will do.
    """
    multiply_adds = in_whole_cells = 0

    def count(layer: nn.Conv2d | nn.Linear, inputs: Any, output: Tensor) -> None:
        nonlocal multiply_adds, in_whole_cells
        read = layer.weight[0].numel()  # by each output value
        multiply_adds += output.numel() * read
        outputs = output.numel()
        if isinstance(layer, nn.Conv2d) and max(layer.kernel_size) > 1:
            height, width = (
                -(-length // dilation) * dilation
                for length, dilation in zip(output.shape[-2:], layer.dilation, strict=True)
            )
            outputs = output.shape[0] * output.shape[1] * height * width
        in_whole_cells += outputs * read

    layers = [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    try:
        # BatchNorm multiplies nothing that is counted, and on "meta" takes half of the time
        with patch.object(nn.functional, "batch_norm", lambda x, *_: x):
            model(image)
    finally:
        for hook in hooks:
            hook.remove()
    return Size(sum(parameter.numel() for parameter in model.parameters()), multiply_adds, in_whole_cells)


def our_size(row: Row) -> Size:
    """Ours for the network of `row`, summed over its scales."""
    model = on_meta(**row.arguments)
    looks = [[int((length - 1) * scale) + 1 for length in row.size] for scale in row.scales]
    sizes = [network_size(model, torch.empty(1, 3, *look, device="meta")) for look in looks]
    times = 2 if len(sizes) > 1 else 1
    multiply_adds, in_whole_cells = (times * sum(counts) for counts in list(zip(*sizes, strict=True))[1:])
    return Size(sizes[0].parameters, multiply_adds, in_whole_cells)


def measured(params_madds: Path) -> dict[str, tuple[int, int]]:
    """Parameters and multiply-adds of others' networks, by key and image: "torchvision/deeplabv3_resnet50 513x513"."""
    found = {}
    for key, facts in json.loads((params_madds / "tensorflow.json").read_text(encoding="utf-8")).items():
        found[key] = (facts["parameters_trainable"], facts["madds"])
    for key, facts in json.loads((params_madds / "torch.json").read_text(encoding="utf-8")).items():
        for image, count in facts.items():
            if isinstance(count, Mapping) and "madds" in count:
                found[f"{key} {image}"] = (facts["parameters"], int(count["madds"]))
    return found


def reason(row: Row, ours: Size, theirs: tuple[int, int]) -> str | None:
    """Why what was measured is not ours: "" where it is, None where nobody knows."""
    difference = (theirs[0] - ours.parameters, theirs[1] - ours.multiply_adds)
    if difference == (0, 0):
        return ""
    if "/" not in row.theirs and difference == (0, ours.in_whole_cells - ours.multiply_adds):
        return "whole cells"
    if row.difference is not None and difference == row.difference[1:]:
        return row.difference.why
    return None


def line(row: Row, ours: Size, theirs: tuple[float | None, float | None], why: str) -> str:
    """The row as it stands in the table."""
    scales = f" at {', '.join(map(str, row.scales))}, mirrored too" if len(row.scales) > 1 else ""
    cells = [
        *named(row.arguments),
        f"{row.size[0]} x {row.size[1]}{scales}",
        *beside(ours.parameters, theirs[0], unit=1e6, letter="M"),
        *beside(ours.multiply_adds, theirs[1], unit=1e9, letter="B"),
        row.theirs if row.published or "/" in row.theirs else f"official code, {row.theirs}",
        why,
    ]
    return f"| {' | '.join(cells)} |\n"


def named(arguments: Mapping[str, Any]) -> tuple[str, str]:
    """The network, and its options."""
    options = dict(arguments)
    name, backbone, stride = (options.pop(key) for key in ("name", "backbone", "output_stride"))
    return f"`{name}` on `{backbone}`, stride {stride}", " ".join(f"`{key}={value}`" for key, value in options.items())


def beside(ours: int, theirs: float | None, *, unit: float, letter: str) -> tuple[str, str, str]:
    """Our number, theirs, and the ratio; a published number is a float, rounded by who published it."""
    if theirs is None:
        return f"{ours:,}", "", ""
    if isinstance(theirs, int):
        return f"{ours:,}", f"{theirs:,}", "equal" if ours == theirs else f"{ours / theirs:.5f}"
    return f"{ours:,}", f"{theirs / unit:.7g} {letter}", f"{ours / theirs:.4f}"


def variant_line(arguments: dict[str, Any]) -> str:
    """What the second table says of a variant."""
    size = our_size(Row("", LARGE, arguments))
    return f"| {' | '.join(named(arguments))} | {size.parameters:,} | {size.multiply_adds:,} |\n"


def backbone_line(name: str) -> str:
    """What the third table says of a backbone."""
    model = on_meta(name="deeplabv3plus", backbone=name)
    size = network_size(model, torch.empty(1, 3, *LARGE, device="meta"))
    backbone = sum(parameter.numel() for parameter in model.backbone.parameters())
    return f"| `{name}` | {backbone:,} | {size.parameters:,} | {size.multiply_adds:,} |\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--output", type=Path, default=Path("docs/networks.md"))
    arguments = parser.parse_args()
    found = measured(arguments.shared / "golden" / "params_madds")
    lines, unexplained = [], []
    for row in ROWS:
        ours = our_size(row)
        if row.published is not None:
            lines.append(line(row, ours, row.published, ""))
            continue
        theirs = found[f"{row.theirs} {row.size[0]}x{row.size[1]}"]
        why = reason(row, ours, theirs)
        if why is None:
            unexplained.append(f"{row.theirs}: ours {ours[:2]}, theirs {theirs}")
        lines.append(line(row, ours, theirs, "unexplained" if why is None else why))
    variants = [variant_line(each) for each in VARIANTS]
    backbones = [backbone_line(name) for name in entries("backbones")]
    with written_aside(arguments.output) as aside:
        aside.write_text("".join([HEADER, *lines, FOOTNOTES, *variants, BACKBONES, *backbones]), encoding="utf-8")
    if unexplained:
        sys.exit("network_size: differences that nobody knows the reason of:\n" + "\n".join(unexplained))
    print(f"{len(lines)} networks, {len(variants)} variants, {len(backbones)} backbones: {arguments.output}")


if __name__ == "__main__":
    main()
