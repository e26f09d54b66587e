"""MobileNetV3 (Howard et al., ICCV 2019, arXiv 1905.02244), as TensorFlow's slim builds it for DeepLab."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from deeplab.backbones._base import Backbone, Features, Step, atrous_plan
from deeplab.backbones.mobilenetv2 import make_divisible
from deeplab.layers import Activation, ConvNormAct, Padding
from deeplab.layers.conv import HardSigmoid

__all__ = [
    "MobileNetV3",
    "mobilenetv3_large",
    "mobilenetv3_large_seg",
    "mobilenetv3_small",
    "mobilenetv3_small_seg",
]

EPS, MOMENTUM = 1e-3, 3e-3
"""BatchNorm of slim's MobileNet: decay 0.997."""

GATE_SLOPE = 0.16667
"""slim's sixth."""

LAST_EXPANSION = 6
"""Channels of the last 1 x 1 over those of the last block (Tables 1 and 2)."""

Detail = Literal["depthwise", "output"]
"""What res2, res3 and res4 are of their block: its depthwise output, before squeeze-and-excitation, or its output."""


class Row(NamedTuple):
    """A line of the tables: size of the filters, expanded and bottleneck channels, SE, NL, stride."""

    kernel_size: int
    expanded: int
    channels: int
    squeeze: bool
    act: Activation
    stride: int


LARGE = (
    Row(3, 16, 16, False, "relu", 1),
    Row(3, 64, 24, False, "relu", 2),
    Row(3, 72, 24, False, "relu", 1),
    Row(5, 72, 40, True, "relu", 2),
    Row(5, 120, 40, True, "relu", 1),
    Row(5, 120, 40, True, "relu", 1),
    Row(3, 240, 80, False, "hard_swish", 2),
    Row(3, 200, 80, False, "hard_swish", 1),
    Row(3, 184, 80, False, "hard_swish", 1),
    Row(3, 184, 80, False, "hard_swish", 1),
    Row(3, 480, 112, True, "hard_swish", 1),
    Row(3, 672, 112, True, "hard_swish", 1),
    Row(5, 672, 160, True, "hard_swish", 2),
    Row(5, 960, 160, True, "hard_swish", 1),
    Row(5, 960, 160, True, "hard_swish", 1),
)
"""Table 1."""

SMALL = (
    Row(3, 16, 16, True, "relu", 2),
    Row(3, 72, 24, False, "relu", 2),
    Row(3, 88, 24, False, "relu", 1),
    Row(5, 96, 40, True, "hard_swish", 2),
    Row(5, 240, 40, True, "hard_swish", 1),
    Row(5, 240, 40, True, "hard_swish", 1),
    Row(5, 120, 48, True, "hard_swish", 1),
    Row(5, 144, 48, True, "hard_swish", 1),
    Row(5, 288, 96, True, "hard_swish", 2),
    Row(5, 576, 96, True, "hard_swish", 1),
    Row(5, 576, 96, True, "hard_swish", 1),
)
"""Table 2."""


def _halved(rows: Sequence[Row]) -> tuple[Row, ...]:
    """The table with half the filters in its last three blocks and in what follows (Table 7, "RF2")."""
    return *rows[:-3], *(row._replace(expanded=row.expanded // 2, channels=row.channels // 2) for row in rows[-3:])


class MobileNetV3(Backbone):
    """Inverted residuals with squeeze-and-excitation and hard swish.

    A finer output stride only adds samples, but for squeeze-and-excitation: its means are then over all of them.

    res2, res3 and res4 are the official low-level features, of the last block at their stride (slim's layer_4, 7 and
    13 of the large network, 2, 4 and 9 of the small one); res5 is the 1 x 1 after the last block (layer_17, layer_13).

    A block that strides has no shortcut, at any output stride. slim gives one to the block of the halved small network
    that loses its stride at 16 (48 channels in and out), so that the same weights compute something else there.

    Shape: (N, in_channels, H, W) -> Features of (N, channels.resK, ceil(H / stride), ceil(W / stride))

    Args:
        depth_multiplier: Scales the number of channels of every layer.
        divisible_by: Scaled channels are rounded to a multiple of it; expanded ones always to one of 8.
        minimalistic: Without squeeze-and-excitation, hard swish and 5 x 5 filters, slim's "minimalistic" networks.
        gate_slope: Of the hard sigmoid in squeeze-and-excitation: 0.16667 in slim, 1 / 6 in PyTorch.
        dilate_first: Dilates the block that would stride as well, as torchvision does; a finer output stride then
            computes something else.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        *,
        in_channels: int = 3,
        output_stride: int = 16,
        depth_multiplier: float = 1.0,
        divisible_by: int = 8,
        padding: Padding = "symmetric",
        minimalistic: bool = False,
        gate_slope: float = GATE_SLOPE,
        dilate_first: bool = False,
        detail: Detail = "depthwise",
    ) -> None:
        super().__init__()
        if minimalistic:
            rows = [row._replace(kernel_size=3, squeeze=False, act="relu") for row in rows]
        layer = partial(ConvNormAct, padding=padding, act=rows[-1].act, eps=EPS, momentum=MOMENTUM)
        nominal, channels = 16, make_divisible(depth_multiplier * 16, divisible_by)
        self.stem = layer(in_channels, channels, 3, stride=2)
        plan = atrous_plan((row.stride for row in rows), start=2, output_stride=output_stride)
        block = partial(InvertedResidual, padding=padding, gate_slope=gate_slope)
        blocks = []
        for row, step in zip(rows, plan, strict=True):
            step = step._replace(dilation=step.dilation_after) if dilate_first else step
            expanded = make_divisible(channels * row.expanded / nominal, 8)
            width = make_divisible(depth_multiplier * row.channels, divisible_by)
            blocks.append(block(channels, expanded, width, row=row, step=step))
            nominal, channels = row.channels, width
        self.blocks = nn.ModuleList(blocks)
        self.last = layer(channels, make_divisible(depth_multiplier * LAST_EXPANSION * nominal, divisible_by), 1)
        self.detail = detail
        self.details = [index - 1 for index, row in enumerate(rows) if row.stride == 2][-3:]
        sources = [blocks[index].project.conv for index in self.details]
        res2, res3, res4 = (conv.in_channels if detail == "depthwise" else conv.out_channels for conv in sources)
        self.channels = Features(res2, res3, res4, self.last.conv.out_channels)

    def forward(self, x: Tensor) -> Features[Tensor]:
        x = self.stem(x)
        details = []
        for index, block in enumerate(self.blocks):
            x, hidden = block(x)
            if index in self.details:
                details.append(hidden if self.detail == "depthwise" else x)
        res2, res3, res4 = details
        return Features(res2, res3, res4, self.last(x))


class InvertedResidual(nn.Module):
    """Expand 1 x 1, filter each channel, weigh the channels, project 1 x 1 without activation (Fig. 4)."""

    def __init__(
        self,
        in_channels: int,
        expanded: int,
        channels: int,
        *,
        row: Row,
        step: Step,
        padding: Padding,
        gate_slope: float,
    ) -> None:
        super().__init__()
        layer = partial(ConvNormAct, padding=padding, eps=EPS, momentum=MOMENTUM)
        self.residual = row.stride == 1 and in_channels == channels
        self.expand = layer(in_channels, expanded, 1, act=row.act) if expanded > in_channels else None
        self.depthwise = layer(
            expanded,
            expanded,
            row.kernel_size,
            stride=step.stride,
            dilation=step.dilation,
            groups=expanded,
            act=row.act,
        )
        self.squeeze = SqueezeExcitation(expanded, gate_slope) if row.squeeze else None
        self.project = layer(expanded, channels, 1, act="none")

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The block's output (N, channels, h, w), and its depthwise output (N, expanded, h, w)."""
        hidden = self.depthwise(x if self.expand is None else self.expand(x))
        out = self.project(hidden if self.squeeze is None else self.squeeze(hidden))
        return x + out if self.residual else out, hidden


class SqueezeExcitation(nn.Module):
    """Weigh each channel by the means of all (section 5.3): a fourth of the channels between, hard sigmoid.

    Shape: (N, channels, H, W) -> (N, channels, H, W)
    """

    def __init__(self, channels: int, gate_slope: float) -> None:
        super().__init__()
        between = make_divisible(channels / 4, 8)
        self.reduce = nn.Conv2d(channels, between, 1)
        self.expand = nn.Conv2d(between, channels, 1)
        self.gate = HardSigmoid(gate_slope)

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean(dim=(2, 3), keepdim=True)
        gate: Tensor = self.gate(self.expand(F.relu(self.reduce(means))))
        return x * gate


mobilenetv3_large = partial(MobileNetV3, LARGE)
"""MobileNetV3-Large, of 15 blocks."""

mobilenetv3_small = partial(MobileNetV3, SMALL)
"""MobileNetV3-Small, of 11 blocks."""

mobilenetv3_large_seg = partial(MobileNetV3, _halved(LARGE))
"""MobileNetV3-Large with half the filters in its last blocks, for segmentation."""

mobilenetv3_small_seg = partial(MobileNetV3, _halved(SMALL))
"""MobileNetV3-Small with half the filters in its last blocks, for segmentation."""
