"""ResNet (He et al., CVPR 2016, arXiv 1512.03385), as torchvision has it, the authors, or the official DeepLab code."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import accumulate, pairwise
from typing import Literal

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

StrideUnit = Literal["first", "last"]
"""Which unit of a stage strides: the first, at the way into a stage, or the last, at the way out, as in slim."""

Detail = Literal["output", "before_add"]
"""What res2, res3 and res4 are: the output of a unit, or the last normalised convolution before its addition."""


class ResNet(Backbone):
    """Residual units in four stages of 64, 128, 256, 512 channels (times 4 with bottlenecks), after a 7 x 7 stem.

    res2, res3 and res4 are of the last unit of a stage that is at their stride: the last one, or with strides in the
    last unit the one before it.

    The official "beta" networks have `stem_channels` (64, 64, 128) (ResNet-18: 16, 16, 32), `stride_unit` "last",
    `detail` "before_add" and `padding` "same", their published checkpoints `multi_grid` (1, 2, 4) as well.

    Shape: (N, in_channels, H, W) -> Features of (N, channels.resK, ceil(H / stride), ceil(W / stride))

    Args:
        multi_grid: Multiplies the dilations of the last stage's units (DeepLab v3, section 3.2.1), one number a unit.
        padding: Of the max pooling; convolutions are padded by half their extent in all systems, slim's included.
        dilate_first: Dilates the unit that would stride as well, as some ports do; a finer output stride then
            computes something else.
        dilate_second: Of units of two 3 x 3: whether the second one is dilated; in mmsegmentation it never is.
        stem_channels: Several numbers are as many 3 x 3 in the place of the 7 x 7: (64, 64, 128) in detectron2's
            DeepLab and the official "beta" networks, (32, 32, 64) in "v1c".
        stride_in: Of bottlenecks. Units of two 3 x 3 stride in the first, or, with `stride_unit` "last", the second.
    """

    image_mean = (0.485, 0.456, 0.406)
    image_std = (0.229, 0.224, 0.225)

    def __init__(
        self,
        unit: type[BasicUnit] | type[BottleneckUnit],
        units: tuple[int, int, int, int],
        *,
        in_channels: int = 3,
        output_stride: int = 16,
        multi_grid: Sequence[int] | None = None,
        padding: Padding = "symmetric",
        dilate_first: bool = False,
        dilate_second: bool = True,
        stem_channels: Sequence[int] = (64,),
        stride_in: StrideIn = "3x3",
        stride_unit: StrideUnit = "first",
        detail: Detail = "output",
    ) -> None:
        super().__init__()
        grid = tuple(multi_grid or (1,) * units[-1])
        if len(grid) != units[-1]:
            raise SettingsError(f"multi_grid has {len(grid)} numbers; the last stage has {units[-1]} units, one each")
        if min(grid) < 1:
            raise SettingsError(f"multi_grid wants numbers of at least 1, got {grid}")
        if unit is BasicUnit and stride_in != "3x3":
            raise SettingsError(f"stride_in is {stride_in}, but there are only 3 x 3; take a ResNet of bottlenecks")
        if unit is not BasicUnit and not dilate_second:
            raise SettingsError("dilate_second is about units of two 3 x 3; take resnet18 or resnet34")
        late = stride_unit == "last"
        second = late if unit is BasicUnit else stride_in == "3x3"
        self.stem = _stem(in_channels, stem_channels)
        self.pool = MaxPool(padding=padding)
        plan = atrous_plan(_strides(units, late=late), start=4, output_stride=output_stride)
        stages, channels = [], stem_channels[-1]
        for stage, count in enumerate(units):
            width = 64 * 2**stage
            members = []
            for index in range(count):
                step = next(plan)
                if dilate_first:
                    step = step._replace(dilation=step.dilation_after)
                if not dilate_second:
                    step = step._replace(dilation_after=1)
                multiplier = grid[index] if stage == 3 else 1
                members.append(unit(channels, width, step=step, multiplier=multiplier, second=second))
                channels = width * unit.expansion
            stages.append(nn.ModuleList(members))
        self.res2, self.res3, self.res4, self.res5 = stages
        self.detail_unit = -2 if late else -1
        self.before_add = detail == "before_add"
        self.channels = Features(*(64 * 2**stage * unit.expansion for stage in range(4)))
        self._last_unit = partial(unit, channels, width, second=second)
        self._multi_grid = grid

    def replica(self, rate: int) -> Block:
        step = Step(1, rate, rate)
        return Block(self._last_unit(step=step, multiplier=multiplier) for multiplier in self._multi_grid)

    def forward(self, x: Tensor) -> Features[Tensor]:
        x = self.pool(self.stem(x))
        details = []
        for stage in (self.res2, self.res3, self.res4):
            for unit in stage:
                x, residual = unit(x)
                if unit is stage[self.detail_unit]:
                    details.append(residual if self.before_add else x)
        res2, res3, res4 = details
        for unit in self.res5:
            x, _ = unit(x)
        return Features(res2, res3, res4, x)


class Block(nn.ModuleList):
    """Units one after the other.

    Shape: (N, C, h, w) -> the same
    """

    def forward(self, x: Tensor) -> Tensor:
        for unit in self:
            x, _ = unit(x)
        return x


class BasicUnit(nn.Module):
    """Two 3 x 3 convolutions and the shortcut (Fig. 5, left)."""

    expansion = 1

    def __init__(self, in_channels: int, width: int, *, step: Step, multiplier: int, second: bool) -> None:
        super().__init__()
        layer = partial(ConvNormAct, eps=EPS, momentum=MOMENTUM)
        strides, dilations = _sampling(step, second=second)
        self.conv1 = layer(in_channels, width, 3, stride=strides[0], dilation=multiplier * dilations[0])
        self.conv2 = layer(width, width, 3, stride=strides[1], dilation=multiplier * dilations[1], act="none")
        self.shortcut = _shortcut(in_channels, width, step.stride)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The unit's output, and what of it was added to the shortcut."""
        residual = self.conv2(self.conv1(x))
        return F.relu(self.shortcut(x) + residual), residual


class BottleneckUnit(nn.Module):
    """1 x 1 down, 3 x 3, 1 x 1 up, and the shortcut (Fig. 5, right)."""

    expansion = 4

    def __init__(self, in_channels: int, width: int, *, step: Step, multiplier: int, second: bool) -> None:
        super().__init__()
        layer = partial(ConvNormAct, eps=EPS, momentum=MOMENTUM)
        strides, dilations = _sampling(step, second=second)
        self.conv1 = layer(in_channels, width, 1, stride=strides[0])
        self.conv2 = layer(width, width, 3, stride=strides[1], dilation=multiplier * dilations[1])
        self.conv3 = layer(width, self.expansion * width, 1, act="none")
        self.shortcut = _shortcut(in_channels, self.expansion * width, step.stride)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The unit's output, and what of it was added to the shortcut."""
        residual = self.conv3(self.conv2(self.conv1(x)))
        return F.relu(self.shortcut(x) + residual), residual


class Subsample(nn.Module):
    """Every `stride`-th sample, from the first."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return x[..., :: self.stride, :: self.stride]


def _stem(in_channels: int, widths: Sequence[int]) -> nn.Module:
    """7 x 7 at stride 2 for one width; for more as many 3 x 3, the first at stride 2."""
    layer = partial(ConvNormAct, eps=EPS, momentum=MOMENTUM)
    if not widths:
        raise SettingsError("stem_channels wants at least one number")
    if len(widths) == 1:
        return layer(in_channels, widths[0], 7, stride=2)
    pairs = enumerate(pairwise((in_channels, *widths)))
    return nn.Sequential(*(layer(before, after, 3, stride=1 if index else 2) for index, (before, after) in pairs))


def _strides(units: Sequence[int], *, late: bool) -> list[int]:
    """The stride of each unit: 2 for the first of a stage but the first stage, or the last but of the last."""
    strides = [1] * sum(units)
    for start in list(accumulate(units))[:-1]:
        strides[start - 1 if late else start] = 2
    return strides


def _sampling(step: Step, *, second: bool) -> tuple[tuple[int, int], tuple[int, int]]:
    """Strides and dilations of a unit's first two convolutions, of which the second strides, or the first."""
    if second:
        return (1, step.stride), (step.dilation, step.dilation)
    return (step.stride, 1), (step.dilation, step.dilation_after)


def _shortcut(in_channels: int, channels: int, stride: int) -> nn.Module:
    if in_channels != channels:
        return ConvNormAct(in_channels, channels, 1, stride=stride, act="none", eps=EPS, momentum=MOMENTUM)
    return nn.Identity() if stride == 1 else Subsample(stride)


resnet18 = partial(ResNet, BasicUnit, (2, 2, 2, 2))
"""ResNet-18, of units of two 3 x 3 convolutions."""

resnet34 = partial(ResNet, BasicUnit, (3, 4, 6, 3))
"""ResNet-34, of units of two 3 x 3 convolutions."""

resnet50 = partial(ResNet, BottleneckUnit, (3, 4, 6, 3))
"""ResNet-50, of bottleneck units."""

resnet101 = partial(ResNet, BottleneckUnit, (3, 4, 23, 3))
"""ResNet-101, of bottleneck units."""

resnet152 = partial(ResNet, BottleneckUnit, (3, 8, 36, 3))
"""ResNet-152, of bottleneck units."""
