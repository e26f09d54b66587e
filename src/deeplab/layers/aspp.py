"""Atrous spatial pyramid pooling as in DeepLab v3 (Chen et al. 2017, arXiv 1706.05587, section 3.3, Fig. 5)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deeplab.errors import SettingsError
from deeplab.layers.conv import Activation, ConvNormAct, HardSigmoid, PaddedConv, SeparableConv
from deeplab.layers.resize import is_traced, resize

ATROUS_RATES = {4: (24, 48, 72), 8: (12, 24, 36), 16: (6, 12, 18), 32: (3, 6, 9)}
"""Rates by output stride: halving the stride doubles the rates, so the field of view stays (section 3.3)."""

EPS, MOMENTUM = 1e-5, 3e-4
"""BatchNorm of ASPP and decoder in the official code: decay 0.9997."""

SqueezeExcite = Literal["none", "sigmoid", "hard_sigmoid"]
"""Whether the image pooling is a factor on the other branches in place of one more, and what keeps it in 0 .. 1."""


def pooling_window(crop_size: Sequence[int] | None, output_stride: int) -> tuple[int, int] | None:
    """The (height, width) in features of a crop in pixels, as the official code's scale_dimension; None stays None.

    Raises:
        SettingsError: Not two numbers of at least 1.
    """
    if crop_size is None:
        return None
    if len(crop_size) != 2 or min(crop_size) < 1:
        raise SettingsError(f"image_pooling_crop_size wants height and width in pixels, got {tuple(crop_size)}")
    height, width = ((length - 1) // output_stride + 1 for length in crop_size)
    return height, width


class ASPP(nn.Module):
    """Look at the features at several rates at once, and at their mean over the image.

    Branches in the order of the official concatenation: image pooling, 1 x 1, one 3 x 3 per rate; then 1 x 1 and
    dropout. No rates gives the light head of the official MobileNetV2 checkpoints.

    Args:
        image_pooling: Whether there is such a branch.
        pooling_norm: Whether it has BatchNorm; not in detectron2.
        pooling_window: (height, width) in features of the windows that it takes its mean over, as the official
            `image_pooling_crop_size`; None: all features.
        pooling_stride: Steps between those windows, in features.
        pooling_align_corners: How what comes of several windows is resized to the features; False in detectron2.
        squeeze_excite: Other than "none", the image pooling multiplies the result of the other branches, as in the
            official MobileNetV3 models (MobileNetV3, Howard et al. 2019, arXiv 1905.02244, Fig. 10).
        project: Whether the 1 x 1 follows; without it the branches stay beside each other.
        project_kernel_size: 3 makes it a 3 x 3, as mmsegmentation has it.

    Shape: (N, in_channels, h, w) -> (N, out_channels, h, w), where out_channels is `channels`, or without `project`
        that for each branch

    Raises:
        SettingsError: A rate below 1, or options that cannot go together.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        channels: int = 256,
        atrous_rates: Sequence[int] = (6, 12, 18),
        separable: bool = False,
        norm_between: bool = True,
        image_pooling: bool = True,
        pooling_norm: bool = True,
        pooling_window: tuple[int, int] | None = None,
        pooling_stride: Sequence[int] = (1, 1),
        pooling_align_corners: bool = True,
        squeeze_excite: SqueezeExcite = "none",
        project: bool = True,
        project_kernel_size: int = 1,
        act: Activation = "relu",
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if any(rate < 1 for rate in atrous_rates):
            raise SettingsError(f"atrous_rates want whole numbers of at least 1, got {tuple(atrous_rates)}")
        if len(pooling_stride) != 2 or min(pooling_stride) < 1:
            raise SettingsError(f"image_pooling_stride wants two numbers of at least 1, got {tuple(pooling_stride)}")
        if squeeze_excite != "none" and not (image_pooling and (project or not atrous_rates)):
            raise SettingsError("squeeze_excite wants image_pooling, and one branch or their projection to multiply")
        if project_kernel_size not in (1, 3):
            raise SettingsError(f"project_kernel_size wants 1 or 3, got {project_kernel_size}")
        layer = partial(ConvNormAct, act=act, eps=EPS, momentum=MOMENTUM)
        pointwise = partial(layer, kernel_size=1)
        separable_conv = partial(SeparableConv, norm_between=norm_between)
        atrous = separable_conv if separable else partial(ConvNormAct, kernel_size=3)
        self.pooling_window, self.pooling_stride = pooling_window, (pooling_stride[0], pooling_stride[1])
        self.pooling_align_corners = pooling_align_corners
        self.image_pooling: nn.Module | None = None
        self.image_scaling: nn.Module | None = None
        if squeeze_excite != "none":
            gate = nn.Sigmoid() if squeeze_excite == "sigmoid" else HardSigmoid()
            self.image_scaling = nn.Sequential(PaddedConv(in_channels, channels, 1, bias=True), gate)
        elif image_pooling and pooling_norm:
            self.image_pooling = ConvNormAct(in_channels, channels, 1, eps=EPS, momentum=MOMENTUM)
        elif image_pooling:
            self.image_pooling = nn.Sequential(PaddedConv(in_channels, channels, 1, bias=True), nn.ReLU())
        self.pointwise = pointwise(in_channels, channels)
        self.atrous = nn.ModuleList(
            atrous(in_channels, channels, dilation=rate, act=act, eps=EPS, momentum=MOMENTUM) for rate in atrous_rates
        )
        branches = 1 + len(self.atrous) + int(self.image_pooling is not None)
        self.project = layer(branches * channels, channels, project_kernel_size) if project else nn.Identity()
        self.dropout = nn.Dropout(dropout if project else 0)
        self.out_channels = channels if project else branches * channels

    def forward(self, x: Tensor) -> Tensor:
        branches = [self.pointwise(x), *(branch(x) for branch in self.atrous)]
        if self.image_pooling is not None:
            branches.insert(0, self._over_image(x, self.image_pooling))
        out: Tensor = self.dropout(self.project(torch.cat(branches, dim=1)))
        return out if self.image_scaling is None else out * self._over_image(x, self.image_scaling)

    def _over_image(self, x: Tensor, branch: nn.Module) -> Tensor:
        """What the branch makes of the mean, (N, channels, 1, 1) or one for each window, all over the features."""
        pooled = branch(_mean(x, self.pooling_window, self.pooling_stride))
        return resize(pooled, (x.shape[-2], x.shape[-1]), align_corners=self.pooling_align_corners)


def _mean(x: Tensor, window: tuple[int, int] | None, stride: tuple[int, int]) -> Tensor:
    """The mean over windows no larger than the features, or over all of them."""
    if window is None:
        return x.mean(dim=(2, 3), keepdim=True)
    if is_traced(x):  # avg_pool2d wants numbers: the whole window, over what it lacks as zeros that do not count
        rows, columns = (torch.sym_max(side - length, 0) for side, length in zip(window, x.shape[-2:], strict=True))
        lacking: Any = (0, columns, 0, rows)  # of SymInts, which F.pad takes but does not declare
        x, counted = (F.pad(each, lacking) for each in (x, torch.ones_like(x[:1, :1])))
        return F.avg_pool2d(x, window, stride=stride) / F.avg_pool2d(counted, window, stride=stride)
    height, width = (min(side, length) for side, length in zip(window, x.shape[-2:], strict=True))
    return F.avg_pool2d(x, (height, width), stride=stride)
