"""Atrous spatial pyramid pooling as in DeepLab v3 (Chen et al. 2017, arXiv 1706.05587, section 3.3, Fig. 5)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deeplab.errors import SettingsError
from deeplab.layers.conv import ConvNormAct, PaddedConv, SeparableConv
from deeplab.layers.resize import resize

ATROUS_RATES = {4: (24, 48, 72), 8: (12, 24, 36), 16: (6, 12, 18), 32: (3, 6, 9)}
"""Rates by output stride: halving the stride doubles the rates, so the field of view stays (section 3.3)."""

EPS, MOMENTUM = 1e-5, 3e-4
"""BatchNorm of ASPP and decoder in the official code: decay 0.9997."""


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
    dropout. No rates gives the light head of the official MobileNetV2 checkpoints. `pooling_norm` False leaves the
    image pooling without BatchNorm, as detectron2 has it. `project_kernel_size` is that of the last layer, 1 in the
    paper and 3 in mmsegmentation. `pooling_window` takes its mean over windows of that (height,
    width) in features instead of all of them, as the official `image_pooling_crop_size`.

    Shape: (N, in_channels, h, w) -> (N, channels, h, w)

    Raises:
        SettingsError: A rate below 1, or a last layer of another size.
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
        project_kernel_size: int = 1,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if any(rate < 1 for rate in atrous_rates):
            raise SettingsError(f"atrous_rates want whole numbers of at least 1, got {tuple(atrous_rates)}")
        if project_kernel_size not in (1, 3):
            raise SettingsError(f"project_kernel_size wants 1 or 3, got {project_kernel_size}")
        layer = partial(ConvNormAct, eps=EPS, momentum=MOMENTUM)
        pointwise = partial(layer, kernel_size=1)
        atrous = partial(SeparableConv, norm_between=norm_between) if separable else partial(ConvNormAct, kernel_size=3)
        self.pooling_window = pooling_window
        self.image_pooling: nn.Module | None = None
        if image_pooling and pooling_norm:
            self.image_pooling = pointwise(in_channels, channels)
        elif image_pooling:
            self.image_pooling = nn.Sequential(PaddedConv(in_channels, channels, 1, bias=True), nn.ReLU())
        self.pointwise = pointwise(in_channels, channels)
        self.atrous = nn.ModuleList(
            atrous(in_channels, channels, dilation=rate, eps=EPS, momentum=MOMENTUM) for rate in atrous_rates
        )
        branches = 1 + len(self.atrous) + int(image_pooling)
        self.project = layer(branches * channels, channels, project_kernel_size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        branches = [self.pointwise(x), *(branch(x) for branch in self.atrous)]
        if self.image_pooling is not None:
            pooled = self.image_pooling(self._pool(x))  # (N, channels, 1, 1), or one for each place of the window
            branches.insert(0, resize(pooled, (x.shape[-2], x.shape[-1]), align_corners=True))
        out: Tensor = self.dropout(self.project(torch.cat(branches, dim=1)))
        return out

    def _pool(self, x: Tensor) -> Tensor:
        if self.pooling_window is None:
            return x.mean(dim=(2, 3), keepdim=True)
        height, width = (min(side, length) for side, length in zip(self.pooling_window, x.shape[-2:], strict=True))
        return F.avg_pool2d(x, (height, width), stride=1)
