"""ResNet (He et al., CVPR 2016, arXiv 1512.03385), as torchvision has it or the authors: strides are in the first unit
of a stage."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from deeplab.backbones._base import Backbone, Features, Step, atrous_plan
from deeplab.errors import SettingsError
from deeplab.layers import ConvNormAct, MaxPool, Padding

__all__ = ["ResNet", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]

EPS, MOMENTUM = 1e-5, 0.05
"""BatchNorm of the official code's ResNet: decay 0.95."""

StrideIn = Literal["1x1", "3x3"]
"""Which convolution of a bottleneck strides: the first, as the authors and Caffe, or the 3 x 3, as torchvision."""


def resnet18(
    *,
    in_channels: int = 3,
    output_stride: int = 16,
    multi_grid: Sequence[int] | None = None,
    padding: Padding = "symmetric",
    dilate_first: bool = False,
    stem_channels: Sequence[int] = (64,),
) -> ResNet:
    """ResNet-18, of units of two 3 x 3 convolutions."""
    return ResNet(BasicUnit, (2, 2, 2, 2), **locals())


def resnet34(
    *,
    in_channels: int = 3,
    output_stride: int = 16,
    multi_grid: Sequence[int] | None = None,
    padding: Padding = "symmetric",
    dilate_first: bool = False,
    stem_channels: Sequence[int] = (64,),
) -> ResNet:
    """ResNet-34, of units of two 3 x 3 convolutions."""
    return ResNet(BasicUnit, (3, 4, 6, 3), **locals())


def resnet50(
    *,
    in_channels: int = 3,
    output_stride: int = 16,
    multi_grid: Sequence[int] | None = None,
    padding: Padding = "symmetric",
    dilate_first: bool = False,
    stem_channels: Sequence[int] = (64,),
    stride_in: StrideIn = "3x3",
) -> ResNet:
    """ResNet-50, of bottleneck units."""
    return ResNet(BottleneckUnit, (3, 4, 6, 3), **locals())


def resnet101(
    *,
    in_channels: int = 3,
    output_stride: int = 16,
    multi_grid: Sequence[int] | None = None,
    padding: Padding = "symmetric",
    dilate_first: bool = False,
    stem_channels: Sequence[int] = (64,),
    stride_in: StrideIn = "3x3",
) -> ResNet:
    """ResNet-101, of bottleneck units."""
    return ResNet(BottleneckUnit, (3, 4, 23, 3), **locals())


def resnet152(
    *,
    in_channels: int = 3,
    output_stride: int = 16,
    multi_grid: Sequence[int] | None = None,
    padding: Padding = "symmetric",
    dilate_first: bool = False,
    stem_channels: Sequence[int] = (64,),
    stride_in: StrideIn = "3x3",
) -> ResNet:
    """ResNet-152, of bottleneck units."""
    return ResNet(BottleneckUnit, (3, 8, 36, 3), **locals())


class ResNet(Backbone):
    """Residual units in four stages of 64, 128, 256, 512 channels (times 4 with bottlenecks), after a 7 x 7 stem.

    `multi_grid` multiplies the dilations of the last stage's units (DeepLab v3, section 3.2.1), one number a unit.
    `dilate_first` dilates the unit that would stride as well, as some ports do; a finer output stride then computes
    something else. `stem_channels` of several numbers are as many 3 x 3 in the place of the 7 x 7: (64, 64, 128)
    in detectron2's DeepLab and the official "beta" networks, (32, 32, 64) in "v1c".

    Shape: (N, in_channels, H, W) -> Features of (N, channels.resK, ceil(H / stride), ceil(W / stride))
    """

    image_mean = (0.485, 0.456, 0.406)
    image_std = (0.229, 0.224, 0.225)

    def __init__(
        self,
        unit: type[BasicUnit] | type[BottleneckUnit],
        units: tuple[int, int, int, int],
        *,
        in_channels: int,
        output_stride: int,
        multi_grid: Sequence[int] | None,
        padding: Padding,
        dilate_first: bool,
        stem_channels: Sequence[int],
        **options: Any,
    ) -> None:
        super().__init__()
        grid = tuple(multi_grid or (1,) * units[-1])
        if len(grid) != units[-1]:
            raise SettingsError(f"multi_grid has {len(grid)} numbers; the last stage has {units[-1]} units, one each")
        self.stem = _stem(in_channels, stem_channels, padding)
        self.pool = MaxPool(padding=padding)
        strides = [2 if stage and index == 0 else 1 for stage, count in enumerate(units) for index in range(count)]
        plan = atrous_plan(strides, start=4, output_stride=output_stride)
        stages, channels = [], stem_channels[-1]
        for stage, count in enumerate(units):
            width = 64 * 2**stage
            members = []
            for index in range(count):
                step = next(plan)
                if dilate_first:
                    step = step._replace(dilation=step.dilation_after)
                multiplier = grid[index] if stage == 3 else 1
                members.append(unit(channels, width, step=step, multiplier=multiplier, padding=padding, **options))
                channels = width * unit.expansion
            stages.append(nn.Sequential(*members))
        self.res2, self.res3, self.res4, self.res5 = stages
        self.channels = Features(*(64 * 2**stage * unit.expansion for stage in range(4)))
        self._last_unit = partial(unit, channels, width, padding=padding, **options)
        self._multi_grid = grid

    def replica(self, rate: int) -> Block:
        step = Step(1, rate, rate)
        return Block(self._last_unit(step=step, multiplier=multiplier) for multiplier in self._multi_grid)

    def forward(self, x: Tensor) -> Features[Tensor]:
        res2 = self.res2(self.pool(self.stem(x)))
        res3 = self.res3(res2)
        res4 = self.res4(res3)
        return Features(res2, res3, res4, self.res5(res4))


class Block(nn.ModuleList):
    """Units one after the other.

    Shape: (N, C, h, w) -> the same
    """

    def forward(self, x: Tensor) -> Tensor:
        for unit in self:
            x = unit(x)
        return x


class BasicUnit(nn.Module):
    """Two 3 x 3 convolutions and the shortcut (Fig. 5, left)."""

    expansion = 1

    def __init__(self, in_channels: int, width: int, *, step: Step, multiplier: int, padding: Padding) -> None:
        super().__init__()
        layer = partial(ConvNormAct, padding=padding, eps=EPS, momentum=MOMENTUM)
        self.conv1 = layer(in_channels, width, 3, stride=step.stride, dilation=multiplier * step.dilation)
        self.conv2 = layer(width, width, 3, dilation=multiplier * step.dilation_after, act="none")
        self.shortcut = _shortcut(in_channels, width, step.stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.shortcut(x) + self.conv2(self.conv1(x)))


class BottleneckUnit(nn.Module):
    """1 x 1 down, 3 x 3, 1 x 1 up, and the shortcut (Fig. 5, right)."""

    expansion = 4

    def __init__(
        self, in_channels: int, width: int, *, step: Step, multiplier: int, padding: Padding, stride_in: StrideIn
    ) -> None:
        super().__init__()
        layer = partial(ConvNormAct, padding=padding, eps=EPS, momentum=MOMENTUM)
        first, second = (step.stride, 1) if stride_in == "1x1" else (1, step.stride)
        dilation = step.dilation_after if stride_in == "1x1" else step.dilation
        self.conv1 = layer(in_channels, width, 1, stride=first)
        self.conv2 = layer(width, width, 3, stride=second, dilation=multiplier * dilation)
        self.conv3 = layer(width, self.expansion * width, 1, act="none")
        self.shortcut = _shortcut(in_channels, self.expansion * width, step.stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.shortcut(x) + self.conv3(self.conv2(self.conv1(x))))


def _stem(in_channels: int, widths: Sequence[int], padding: Padding) -> nn.Module:
    """7 x 7 at stride 2 for one width; for more as many 3 x 3, the first at stride 2."""
    layer = partial(ConvNormAct, padding=padding, eps=EPS, momentum=MOMENTUM)
    if not widths:
        raise SettingsError("stem_channels wants at least one number")
    if len(widths) == 1:
        return layer(in_channels, widths[0], 7, stride=2)
    pairs = enumerate(pairwise((in_channels, *widths)))
    return nn.Sequential(*(layer(before, after, 3, stride=1 if index else 2) for index, (before, after) in pairs))


def _shortcut(in_channels: int, channels: int, stride: int) -> nn.Module:
    if in_channels == channels and stride == 1:
        return nn.Identity()
    return ConvNormAct(in_channels, channels, 1, stride=stride, act="none", eps=EPS, momentum=MOMENTUM)
