"""Aligned Xception (DeepLab v3+, Chen et al., ECCV 2018, arXiv 1802.02611, Fig. 4; after Chollet, arXiv 1610.02357)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal, NamedTuple

from torch import Tensor, nn

from deeplab.backbones._base import Backbone, Features, Step, atrous_plan
from deeplab.errors import SettingsError
from deeplab.layers import Activation, ConvNormAct, Padding, SeparableConv
from deeplab.layers.conv import Clip

__all__ = ["Xception", "xception41", "xception65", "xception71"]

EPS, MOMENTUM = 1e-3, 3e-4
"""BatchNorm of the official code's Xception: decay 0.9997."""


Wiring = Literal["official", "jfzhang95"]
"""How the units are joined: as in the official code, or in jfzhang95's port."""


class Unit(NamedTuple):
    """One line of the table: widths of the three separable convolutions, the stride of the last, the way around."""

    widths: tuple[int, int, int]
    stride: int
    skip: str
    """"conv", "sum" or "none"."""


def _same(width: int, stride: int, skip: str = "conv") -> Unit:
    return Unit((width, width, width), stride, skip)


ENTRY = (_same(128, 2), _same(256, 2), _same(728, 2))
ENTRY_71 = (_same(128, 2), _same(256, 1), _same(256, 2), _same(728, 1), _same(728, 2))
MIDDLE = _same(728, 1, "sum")
EXIT = (Unit((728, 1024, 1024), 2, "conv"), Unit((1536, 1536, 2048), 1, "none"))


class Xception(Backbone):
    """Units of three separable convolutions; a stride is in the third one, in the place of a pooling.

    res2, res3 and res4 are the official low-level features: the second separable convolution of the unit that leaves
    their stride.

    Shape: (N, in_channels, H, W) -> Features of (N, 256 | 728 | 1024 | 2048, ceil(H / stride), ceil(W / stride))

    Args:
        multi_grid: Multiplies the dilations of the three convolutions of the last unit.
        wiring: "jfzhang95": the way around a unit starts from the activated features too; the last unit is activated
            before its convolutions, as the others, and after them; the third convolution of a unit that would stride
            is never dilated; low-level features (128, 256 and 728 channels) are what enters that unit, activated.
        norm_eps: Added to the variance by BatchNorm; 1e-3 in the official code, 1e-5 in PyTorch.
        bounded_activation: ReLU6 in the place of ReLU, and -6 .. 6 where there is none, which suits 8-bit numbers.

    Raises:
        SettingsError: Numbers of `multi_grid` that are not three, or `bounded_activation` with another wiring.
    """

    def __init__(
        self,
        units: Sequence[Unit],
        *,
        in_channels: int = 3,
        output_stride: int = 16,
        multi_grid: Sequence[int] | None = None,
        padding: Padding = "symmetric",
        wiring: Wiring = "official",
        norm_eps: float = EPS,
        bounded_activation: bool = False,
    ) -> None:
        super().__init__()
        grid = tuple(multi_grid or (1, 1, 1))
        if len(grid) != 3:
            raise SettingsError(f"multi_grid has {len(grid)} numbers; the last unit has 3 convolutions, one each")
        if min(grid) < 1:
            raise SettingsError(f"multi_grid wants numbers of at least 1, got {grid}")
        official = wiring == "official"
        if bounded_activation and not official:
            raise SettingsError(f"bounded_activation is of the official wiring alone; got wiring '{wiring}'")
        act: Activation = "relu6" if bounded_activation else "relu"
        layer = partial(ConvNormAct, kernel_size=3, padding=padding, act=act, eps=norm_eps, momentum=MOMENTUM)
        self.stem = nn.Sequential(layer(in_channels, 32, stride=2), layer(32, 64))
        plan = atrous_plan((unit.stride for unit in units), start=2, output_stride=output_stride)
        block = partial(XceptionUnit, padding=padding, norm_eps=norm_eps, official=official, bounded=bounded_activation)
        blocks, channels, details = [], 64, []
        for unit, step in zip(units, plan, strict=True):
            multipliers = grid if unit.skip == "none" else (1, 1, 1)
            blocks.append(block(channels, unit, step, multipliers))
            details.append(unit.widths[1] if official else channels)
            channels = unit.widths[-1]
        self.blocks = nn.ModuleList(blocks)
        self.details = [index for index, unit in enumerate(units) if unit.stride == 2][1:]
        res2, res3, res4 = (details[index] for index in self.details)
        self.channels = Features(res2, res3, res4, channels)

    def forward(self, x: Tensor) -> Features[Tensor]:
        x = self.stem(x)
        details = []
        for index, block in enumerate(self.blocks):
            x, detail = block(x)
            if index in self.details:
                details.append(detail)
        res2, res3, res4 = details
        return Features(res2, res3, res4, x)


class XceptionUnit(nn.Module):
    """Three separable convolutions and a way around them; activated before each, or, without a way around, inside."""

    def __init__(
        self,
        in_channels: int,
        unit: Unit,
        step: Step,
        multipliers: Sequence[int],
        *,
        padding: Padding,
        norm_eps: float,
        official: bool,
        bounded: bool,
    ) -> None:
        super().__init__()
        self.official, self.bounded = official, bounded
        self.act = nn.ReLU6() if bounded else nn.ReLU()
        self.clip = Clip() if bounded else nn.Identity()
        between: Activation = "clip" if bounded else "none"
        inside: Activation = "relu6" if bounded else "relu"
        self.activate_before = unit.skip != "none" or not official
        dilations = [step.dilation * multiplier for multiplier in multipliers]
        if unit.stride > 1 and not official:
            dilations[2] = 1
        pairs = zip((in_channels, *unit.widths), unit.widths, strict=False)
        self.convs = nn.ModuleList(
            SeparableConv(
                before,
                after,
                stride=step.stride if index == 2 else 1,
                dilation=dilations[index],
                padding=padding,
                act=between if self.activate_before else inside,
                eps=norm_eps,
                momentum=MOMENTUM,
            )
            for index, (before, after) in enumerate(pairs)
        )
        self.shortcut: nn.Module | None = None
        if unit.skip == "conv":
            self.shortcut = ConvNormAct(
                in_channels, unit.widths[-1], 1, stride=step.stride, act="none", eps=norm_eps, momentum=MOMENTUM
            )
        elif unit.skip == "sum":
            self.shortcut = nn.Identity()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The unit's output, and its low-level features, at the stride of the input."""
        x = x if self.official else self.act(x)
        out, detail = x, x
        for index, conv in enumerate(self.convs):
            out = conv(self.act(out) if self.activate_before else out)
            if index == 1 and self.official:
                detail = out
        if self.shortcut is None:
            return self.act(out), detail
        out = self.clip(self.shortcut(x)) + self.clip(out)
        return self.act(out) if self.bounded else out, detail


xception41 = partial(Xception, (*ENTRY, *[MIDDLE] * 8, *EXIT))
"""Aligned Xception with 8 units in the middle."""

xception65 = partial(Xception, (*ENTRY, *[MIDDLE] * 16, *EXIT))
"""Aligned Xception with 16 units in the middle."""

xception71 = partial(Xception, (*ENTRY_71, *[MIDDLE] * 16, *EXIT))
"""Aligned Xception with 16 units in the middle and five at the entry."""
