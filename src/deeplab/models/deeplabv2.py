"""DeepLab v2 (Chen et al., TPAMI 2018, arXiv 1606.00915): a classifier for each atrous rate, and their sum."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from deeplab.backbones import Backbone
from deeplab.errors import SettingsError
from deeplab.layers import Classify, PaddedConv
from deeplab.models._base import SegmentationModel

__all__ = ["DeepLabV2", "deeplabv2"]

RATES = {4: (12, 24, 36, 48), 8: (6, 12, 18, 24), 16: (3, 6, 9, 12), 32: (2, 3, 5, 6)}
"""ASPP-L's rates at the paper's stride of 8 (section 3.2), and the same field of view at other strides."""


def deeplabv2(
    backbone: Backbone,
    *,
    num_classes: int,
    output_stride: int,
    atrous_rates: Sequence[int] | None = None,
    hidden_channels: int | None = None,
    kernel_size: int = 3,
    dropout: float = 0.5,
) -> DeepLabV2:
    """DeepLab v2: the form for ResNet-101, one 3 x 3 per rate, or with `hidden_channels` 1024 that for VGG-16.

    Args:
        atrous_rates: None: ASPP-L, (6, 12, 18, 24) at output stride 8. ASPP-S is (2, 4, 8, 12) there.
        hidden_channels: Channels of fc6 and fc7 in each branch (Fig. 7 b); None: no such layers.
        kernel_size: Of the convolutions at a rate, fc6 or the classifiers. The official code's head of this form
            (`aspp_with_batch_norm` False) has 1 unless told otherwise (`logits_kernel_size`), where rates do nothing.
        dropout: After fc6 and fc7.

    Raises:
        SettingsError: No rate, a rate below 1, or a kernel size that is not odd.
    """
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise SettingsError(f"kernel_size wants an odd number of at least 1, got {kernel_size}")
    rates = RATES[output_stride] if atrous_rates is None else atrous_rates
    if not rates or min(rates) < 1:
        raise SettingsError(f"atrous_rates want at least one whole number, each at least 1; got {tuple(rates)}")
    features = backbone.channels.res5
    branches, classifiers = nn.ModuleList(), nn.ModuleList()
    for rate in rates:
        if hidden_channels is None:
            branches.append(nn.Identity())
            classifiers.append(_atrous_classifier(features, num_classes, kernel_size, rate))
        else:
            branches.append(_branch(features, hidden_channels, kernel_size, rate, dropout))
            classifiers.append(Classify(hidden_channels, num_classes))
    return DeepLabV2(backbone, branches, classifiers)


class DeepLabV2(SegmentationModel):
    """ASPP as the sum of classifiers of several rates over the deepest features (Fig. 4, Fig. 7 b).

    Shape: (N, C, H, W) -> logits (N, num_classes, H, W), any H and W >= 1
    """

    def __init__(self, backbone: Backbone, branches: nn.ModuleList, classify: nn.ModuleList) -> None:
        super().__init__()
        self.backbone = backbone
        self.branches = branches
        self.classify = classify

    def scores(self, x: Tensor) -> Tensor:
        features = self.backbone(x).res5
        pairs = zip(self.branches, self.classify, strict=True)
        return torch.stack([classify(branch(features)) for branch, classify in pairs]).sum(dim=0)


def _atrous_classifier(in_channels: int, num_classes: int, kernel_size: int, rate: int) -> PaddedConv:
    """A convolution at a rate, straight to logits; initial standard deviation 0.01 as in the authors' networks."""
    layer = PaddedConv(in_channels, num_classes, kernel_size, dilation=rate, bias=True)
    nn.init.normal_(layer.weight, std=0.01)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


def _branch(in_channels: int, hidden: int, kernel_size: int, rate: int, dropout: float) -> nn.Sequential:
    """fc6 at its rate, and fc7."""
    return nn.Sequential(
        PaddedConv(in_channels, hidden, kernel_size, dilation=rate, bias=True),
        nn.ReLU(),
        nn.Dropout(dropout),
        PaddedConv(hidden, hidden, 1, bias=True),
        nn.ReLU(),
        nn.Dropout(dropout),
    )
