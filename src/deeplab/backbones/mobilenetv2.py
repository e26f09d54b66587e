"""MobileNetV2 (Sandler et al., CVPR 2018, arXiv 1801.04381), as TensorFlow's slim builds it for DeepLab."""

from __future__ import annotations

from functools import partial
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from deeplab.backbones._base import Backbone, Features, Step, atrous_plan
from deeplab.errors import SettingsError
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


Detail = Literal["depthwise", "output"]
"""What res2, res3 and res4 are of their block: its depthwise output, or its output."""

StageDilation = Literal["block", "before", "first"]
"""What the blocks of a stage are dilated for: each for the grid that it reads; all for the one that the stage reads
(jfzhang95); the first for the one that the stage writes, the others not at all (mmsegmentation). Only with the first a
finer output stride adds samples."""


class MobileNetV2(Backbone):
    """Inverted residuals with linear bottlenecks.

    res2, res3 and res4 are the official low-level features: the depthwise output of the last block at their stride
    (slim's layer_4, layer_7 and layer_14), 6 times wider than its bottleneck; res5 is layer_18.

    Ports to PyTorch have `detail` "output", `norm_eps` 1e-5 and their own dilation, padding or last layer.

    Shape: (N, in_channels, H, W) -> Features of (N, 144 | 192 | 576 | 320, ceil(H / stride), ceil(W / stride))

    Args:
        depth_multiplier: Scales the number of channels of every layer.
        divisible_by: Scaled channels are rounded to a multiple of it (the official width 0.5 checkpoint has 1).
        dilate_first: Dilates the block that would stride as well, as segmentation-models-pytorch does; a finer output
            stride then computes something else.
        last_channels: Of the 1 x 1 that follows the blocks for classification, 1280 in Table 2; it is res5 then. None:
            it is left out.
        norm_eps: Added to the variance by BatchNorm; 1e-3 in slim, 1e-5 in PyTorch.
        pad_image: Whether zeros are put around the image; VainF does not, and (H - 1) / 2 rows are left by the first
            layer then.
        pad_block_input: Zeros are put around the input of a block, ahead of its expansion, in the place of the input
            of its 3 x 3, as in VainF's and jfzhang95's.
        stage_dilation: Which blocks of a stage are dilated, as some ports have it.
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        output_stride: int = 16,
        depth_multiplier: float = 1.0,
        divisible_by: int = 8,
        padding: Padding = "symmetric",
        dilate_first: bool = False,
        detail: Detail = "depthwise",
        last_channels: int | None = None,
        norm_eps: float = EPS,
        pad_image: bool = True,
        pad_block_input: bool = False,
        stage_dilation: StageDilation = "block",
    ) -> None:
        super().__init__()
        layer = partial(ConvNormAct, act="relu6", eps=norm_eps, momentum=MOMENTUM)
        widths = [make_divisible(depth_multiplier * channels, divisible_by) for _, channels, _, _ in STAGES]
        stem = make_divisible(depth_multiplier * 32, divisible_by)
        self.stem = layer(in_channels, stem, 3, stride=2, padding=padding if pad_image else "none")
        layout = [
            (expansion, width, stride if unit == 0 else 1)
            for (expansion, _, units, stride), width in zip(STAGES, widths, strict=True)
            for unit in range(units)
        ]
        strides = (stride for *_, stride in layout)
        plan = _dilated(list(atrous_plan(strides, start=2, output_stride=output_stride)), stage_dilation)
        blocks, channels = [], stem
        for (expansion, width, _), step in zip(layout, plan, strict=True):
            blocks.append(
                InvertedResidual(
                    channels,
                    width,
                    expansion=expansion,
                    stride=step.stride,
                    dilation=step.dilation_after if dilate_first else step.dilation,
                    padding=padding,
                    norm_eps=norm_eps,
                    pad_input=pad_block_input,
                )
            )
            channels = width
        self.blocks = nn.ModuleList(blocks)
        self.last = nn.Identity() if last_channels is None else layer(channels, last_channels, 1)
        self.detail = detail
        self.smallest = 1 if pad_image else 3
        factor = 6 if detail == "depthwise" else 1
        self.channels = Features(factor * widths[1], factor * widths[2], factor * widths[4], last_channels or widths[6])

    def forward(self, x: Tensor) -> Features[Tensor]:
        height, width = x.shape[-2:]
        x = self.stem(F.pad(x, (0, max(self.smallest - width, 0), 0, max(self.smallest - height, 0))))
        details = []
        for index, block in enumerate(self.blocks):
            x, hidden = block(x)
            if index in (2, 5, 12):  # the last block at stride 4, 8 and 16
                details.append(hidden if self.detail == "depthwise" else x)
        res2, res3, res4 = details
        return Features(res2, res3, res4, self.last(x))


def _dilated(plan: list[Step], stage_dilation: StageDilation) -> list[Step]:
    """The steps of all blocks with other dilations."""
    steps: list[Step] = []
    for _, _, count, _ in STAGES:
        stage = plan[len(steps) : len(steps) + count]
        before, after = stage[0].dilation, stage[0].dilation_after
        if stage_dilation == "before":
            stage = [step._replace(dilation=before) for step in stage]
        elif stage_dilation == "first":
            stage = [step._replace(dilation=1 if index else after) for index, step in enumerate(stage)]
        steps += stage
    return steps


class InvertedResidual(nn.Module):
    """Expand 1 x 1, filter each channel 3 x 3, project 1 x 1 without activation (Fig. 3b)."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        expansion: int,
        stride: int,
        dilation: int,
        padding: Padding,
        norm_eps: float,
        pad_input: bool,
    ) -> None:
        super().__init__()
        layer = partial(ConvNormAct, eps=norm_eps, momentum=MOMENTUM)
        width = expansion * in_channels
        self.residual = stride == 1 and in_channels == channels
        self.margin = dilation if pad_input else 0
        self.expand = layer(in_channels, width, 1, act="relu6") if expansion > 1 else None
        self.depthwise = layer(
            width,
            width,
            3,
            stride=stride,
            dilation=dilation,
            groups=width,
            padding="none" if pad_input else padding,
            act="relu6",
        )
        self.project = layer(width, channels, 1, act="none")

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The block's output (N, channels, h, w), and its depthwise output (N, expansion * in_channels, h, w)."""
        padded = F.pad(x, [self.margin] * 4) if self.margin else x
        hidden = self.depthwise(padded if self.expand is None else self.expand(padded))
        out = self.project(hidden)
        return x + out if self.residual else out, hidden


def make_divisible(channels: float, divisor: int) -> int:
    """The multiple of `divisor` nearest to `channels`, at most 10 % below it (slim's conv_blocks.py).

    Raises:
        SettingsError: One of them is not above 0.
    """
    if not (channels > 0 and divisor > 0):
        raise SettingsError("depth_multiplier and divisible_by have to be above 0")
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * channels else rounded + divisor


mobilenetv2 = MobileNetV2
