"""MobileNet-EdgeTPU, a relative of MobileNetV3 (Howard et al. 2019, arXiv 1905.02244); slim's `V3_EDGETPU`.

Inverted residuals whose early blocks fuse expansion and filter into one full 3 x 3 convolution, which
accelerators run faster than a 1 x 1 and a depthwise 3 x 3; ReLU, no squeeze-and-excitation.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from deeplab.backbones._base import Backbone, Features, atrous_plan
from deeplab.backbones.mobilenetv2 import make_divisible
from deeplab.layers import ConvNormAct, Padding

__all__ = ["MobileNetEdgeTPU", "mobilenet_edgetpu"]

STAGES = (
    ("full", 3, 16, 1, 1, 1),
    ("full", 3, 32, 4, 8, 2),
    ("full", 3, 48, 4, 8, 2),
    ("depthwise", 3, 96, 4, 8, 2),
    ("depthwise", 3, 96, 4, 8, 1),
    ("depthwise", 5, 160, 4, 8, 2),
    ("depthwise", 3, 192, 1, 8, 1),
)
"""Kind and size of the filters, channels, blocks, expansion and stride of the first block (`V3_EDGETPU`)."""

EXPANSION = 4
"""Of all blocks but the first of a stage."""

LAST_CHANNELS = 1280
EPS, MOMENTUM = 1e-3, 3e-3
"""BatchNorm of slim's MobileNet: decay 0.997."""


class MobileNetEdgeTPU(Backbone):
    """Inverted residuals with linear bottlenecks, the first block of each stage without a shortcut; no classifier.

    res2, res3 and res4 are the expanded features of the last block at their stride, as in MobileNetV2; res5
    is what the last 1 x 1 makes of the last bottleneck.

    Shape: (N, in_channels, H, W) -> Features of (N, channels.resK, ceil(H / stride), ceil(W / stride)), where
        channels are 128, 192, 384 and 1280 at depth multiplier 1

    Args:
        depth_multiplier: Scales the number of channels of every layer; only the last never gets narrower than
            1280. The official Cityscapes model ("slim") has 0.75.
        divisible_by: Scaled channels are rounded to a multiple of it.
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        output_stride: int = 16,
        depth_multiplier: float = 1.0,
        divisible_by: int = 8,
        padding: Padding = "symmetric",
    ) -> None:
        super().__init__()
        layer = partial(ConvNormAct, padding=padding, eps=EPS, momentum=MOMENTUM)
        channels = make_divisible(depth_multiplier * 32, divisible_by)
        self.stem = layer(in_channels, channels, 3, stride=2)
        plan = atrous_plan(
            (stride if unit == 0 else 1 for *_, units, _, stride in STAGES for unit in range(units)),
            start=2,
            output_stride=output_stride,
        )
        blocks = []
        for filters, kernel_size, stage_width, units, expansion, _ in STAGES:
            width = make_divisible(depth_multiplier * stage_width, divisible_by)
            for unit in range(units):
                stride, dilation, _ = next(plan)
                blocks.append(
                    InvertedResidual(
                        channels,
                        width,
                        kernel_size=kernel_size,
                        expansion=EXPANSION if unit else expansion,
                        stride=stride,
                        dilation=dilation,
                        depthwise=filters == "depthwise",
                        residual=unit > 0,
                        padding=padding,
                    )
                )
                channels = width
        self.blocks = nn.ModuleList(blocks)
        self.last = layer(channels, make_divisible(max(depth_multiplier, 1) * LAST_CHANNELS, divisible_by), 1)
        self.channels = Features(
            blocks[4].project.conv.in_channels,
            blocks[8].project.conv.in_channels,
            blocks[16].project.conv.in_channels,
            self.last.conv.out_channels,
        )

    def forward(self, x: Tensor) -> Features[Tensor]:
        x = self.stem(x)
        details = []
        for index, block in enumerate(self.blocks):
            x, hidden = block(x)
            if index in (4, 8, 16):  # the last block at stride 4, 8 and 16
                details.append(hidden)
        res2, res3, res4 = details
        return Features(res2, res3, res4, self.last(x))


class InvertedResidual(nn.Module):
    """Expand, filter, project without activation; with full filters expand and filter are one convolution."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        kernel_size: int,
        expansion: int,
        stride: int,
        dilation: int,
        depthwise: bool,
        residual: bool,
        padding: Padding,
    ) -> None:
        super().__init__()
        layer = partial(ConvNormAct, padding=padding, eps=EPS, momentum=MOMENTUM)
        width = expansion * in_channels
        self.residual = residual
        spatial = partial(layer, kernel_size=kernel_size, stride=stride, dilation=dilation)
        filters: list[nn.Module] = []
        if depthwise:
            filters = [layer(in_channels, width, 1), spatial(width, width, groups=width)]
        elif expansion > 1:
            filters = [spatial(in_channels, width)]
        self.filters = nn.Sequential(*filters)
        self.project = layer(width, channels, 1, act="none")

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The block's output (N, channels, h, w), and the features that it was projected from."""
        hidden = self.filters(x)
        out = self.project(hidden)
        return x + out if self.residual else out, hidden


mobilenet_edgetpu = MobileNetEdgeTPU
