"""MobileNetV2 (Sandler et al., CVPR 2018, arXiv 1801.04381), as TensorFlow's slim builds it for DeepLab."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from deeplab.backbones._base import Backbone, Features, atrous_plan
from deeplab.layers import ConvNormAct, Padding

__all__ = ["MobileNetV2", "mobilenetv2"]

STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, channels, blocks, stride of the first block (Table 2)."""

EPS, MOMENTUM = 1e-3, 3e-3
"""BatchNorm of slim's MobileNet: decay 0.997."""


def mobilenetv2(
    *,
    in_channels: int = 3,
    output_stride: int = 16,
    depth_multiplier: float = 1.0,
    divisible_by: int = 8,
    padding: Padding = "symmetric",
) -> MobileNetV2:
    """MobileNetV2 without its classifier.

    Args:
        depth_multiplier: Scales the number of channels of every layer.
        divisible_by: Scaled channels are rounded to a multiple of it (the official width 0.5 checkpoint has 1).
    """
    return MobileNetV2(
        in_channels=in_channels,
        output_stride=output_stride,
        depth_multiplier=depth_multiplier,
        divisible_by=divisible_by,
        padding=padding,
    )


class MobileNetV2(Backbone):
    """Inverted residuals with linear bottlenecks.

    res2, res3 and res4 are the official low-level features: the depthwise output of the last block at their stride
    (slim's layer_4, layer_7 and layer_14), 6 times wider than its bottleneck; res5 is layer_18.

    Shape: (N, in_channels, H, W) -> Features of (N, 144 | 192 | 576 | 320, ceil(H / stride), ceil(W / stride))
    """

    def __init__(
        self,
        *,
        in_channels: int,
        output_stride: int,
        depth_multiplier: float,
        divisible_by: int,
        padding: Padding,
    ) -> None:
        super().__init__()
        widths = [make_divisible(depth_multiplier * channels, divisible_by) for _, channels, _, _ in STAGES]
        stem = make_divisible(depth_multiplier * 32, divisible_by)
        self.stem = ConvNormAct(
            in_channels, stem, 3, stride=2, padding=padding, act="relu6", eps=EPS, momentum=MOMENTUM
        )
        layout = [
            (expansion, width, stride if unit == 0 else 1)
            for (expansion, _, units, stride), width in zip(STAGES, widths, strict=True)
            for unit in range(units)
        ]
        plan = atrous_plan((stride for *_, stride in layout), start=2, output_stride=output_stride)
        blocks, channels = [], stem
        for (expansion, width, _), (stride, dilation, _) in zip(layout, plan, strict=True):
            blocks.append(
                InvertedResidual(
                    channels, width, expansion=expansion, stride=stride, dilation=dilation, padding=padding
                )
            )
            channels = width
        self.blocks = nn.ModuleList(blocks)
        self.channels = Features(6 * widths[1], 6 * widths[2], 6 * widths[4], widths[6])

    def forward(self, x: Tensor) -> Features[Tensor]:
        x = self.stem(x)
        details = []
        for index, block in enumerate(self.blocks):
            x, hidden = block(x)
            if index in (2, 5, 12):  # the last block at stride 4, 8 and 16
                details.append(hidden)
        res2, res3, res4 = details
        return Features(res2, res3, res4, x)


class InvertedResidual(nn.Module):
    """Expand 1 x 1, filter each channel 3 x 3, project 1 x 1 without activation (Fig. 3b)."""

    def __init__(
        self, in_channels: int, channels: int, *, expansion: int, stride: int, dilation: int, padding: Padding
    ) -> None:
        super().__init__()
        layer = partial(ConvNormAct, padding=padding, eps=EPS, momentum=MOMENTUM)
        width = expansion * in_channels
        self.residual = stride == 1 and in_channels == channels
        self.expand = layer(in_channels, width, 1, act="relu6") if expansion > 1 else None
        self.depthwise = layer(width, width, 3, stride=stride, dilation=dilation, groups=width, act="relu6")
        self.project = layer(width, channels, 1, act="none")

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The block's output (N, channels, h, w), and its depthwise output (N, expansion * in_channels, h, w)."""
        hidden = self.depthwise(x if self.expand is None else self.expand(x))
        out = self.project(hidden)
        return x + out if self.residual else out, hidden


def make_divisible(channels: float, divisor: int) -> int:
    """The multiple of `divisor` nearest to `channels`, at most 10 % below it (slim's conv_blocks.py)."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * channels else rounded + divisor
