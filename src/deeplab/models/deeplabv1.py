"""DeepLab v1 (Chen et al., ICLR 2015, arXiv 1412.7062): VGG-16's fully connected layers as convolutions with holes."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from deeplab.backbones import Backbone
from deeplab.backbones.vgg16 import STAGES, VGG16
from deeplab.errors import SettingsError
from deeplab.layers import Classify, PaddedConv, resize
from deeplab.models._base import SegmentationModel

__all__ = ["DeepLabV1", "DeepLabV1MSc", "deeplabv1"]

RATES = {4: 24, 8: 12, 16: 6, 32: 3}
"""LargeFOV's rate of 12 at the paper's stride of 8, so that the field of view stays at other strides."""

DETAIL_CHANNELS = 128
"""Of each branch of MSc (section 4.3)."""


def deeplabv1(
    backbone: Backbone,
    *,
    num_classes: int,
    output_stride: int,
    kernel_size: int = 3,
    atrous_rate: int | None = None,
    hidden_channels: int = 1024,
    average_pooling: bool = True,
    multi_scale: bool = False,
    dropout: float = 0.5,
) -> DeepLabV1:
    """DeepLab-LargeFOV by default; the paper's others (Table 2), at output stride 8:

    | | kernel_size | atrous_rate | hidden_channels |
    |---|---|---|---|
    | DeepLab-7x7 | 7 | 4 | 4096 |
    | DeepLab | 4 | 4 | 4096 |
    | DeepLab-4x4, large field | 4 | 8 | 4096 |
    | DeepLab-LargeFOV | 3 | 12 | 1024 |

    Args:
        atrous_rate: Of fc6; None: LargeFOV's, by the output stride.
        average_pooling: The 3 x 3 mean before fc6, which is in the authors' LargeFOV network (pool5a).
        multi_scale: "MSc": the image and the first four poolings of VGG-16 are read as well (section 4.3).

    Raises:
        SettingsError: A value below 1, an even `kernel_size` with an odd rate, or `multi_scale` on another backbone
            than VGG-16.
    """
    rate = RATES[output_stride] if atrous_rate is None else atrous_rate
    if min(kernel_size, rate, hidden_channels) < 1:
        raise SettingsError(
            "kernel_size, atrous_rate and hidden_channels want at least 1; "
            f"got {kernel_size}, {rate} and {hidden_channels}"
        )
    if rate * (kernel_size - 1) % 2:  # as much padding on either side would lose a row and a column
        raise SettingsError(
            f"kernel_size {kernel_size} wants an even atrous_rate, got {rate}; or take an odd kernel_size"
        )
    fc6 = PaddedConv(backbone.channels.res5, hidden_channels, kernel_size, dilation=rate, bias=True)
    fc7 = PaddedConv(hidden_channels, hidden_channels, 1, bias=True)
    if not multi_scale:
        return DeepLabV1(backbone, fc6, fc7, Classify(hidden_channels, num_classes), average_pooling, dropout)
    if not isinstance(backbone, VGG16):
        raise SettingsError("multi_scale reads the poolings of VGG-16: choose backbone vgg16, or leave it off")
    sources = (backbone.in_channels, *(channels for channels, _ in STAGES[:4]))
    details = nn.ModuleList(_perceptron(channels, dropout) for channels in sources)
    widths = (hidden_channels, *[DETAIL_CHANNELS] * len(sources))
    classify = nn.ModuleList(Classify(width, num_classes) for width in widths)
    return DeepLabV1MSc(backbone, fc6, fc7, classify, average_pooling, dropout, details)


class DeepLabV1(SegmentationModel):
    """One atrous convolution with a large field of view, then two 1 x 1 (section 3.1; 5.1, "Field of View").

    Shape: (N, C, H, W) -> logits (N, num_classes, H, W), any H and W >= 1
    """

    def __init__(
        self,
        backbone: Backbone,
        fc6: PaddedConv,
        fc7: PaddedConv,
        classify: nn.Module,
        average_pooling: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.average = nn.AvgPool2d(3, stride=1, padding=1) if average_pooling else nn.Identity()
        self.fc6, self.fc7, self.classify = fc6, fc7, classify
        self.dropout = nn.Dropout(dropout)
        for layer in (fc6, fc7):
            nn.init.normal_(layer.weight, std=0.01)

    def scores(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classify(self.semantics(self.backbone(x).res5))
        return logits

    def semantics(self, pool5: Tensor) -> Tensor:
        """(N, 512, h, w) -> fc7, (N, hidden_channels, h, w)."""
        x = self.dropout(F.relu(self.fc6(self.average(pool5))))
        fc7: Tensor = self.dropout(F.relu(self.fc7(x)))
        return fc7


class DeepLabV1MSc(DeepLabV1):
    """The same with a perceptron on the image and on each of the first four poolings (section 4.3).

    The paper joins their 5 x 128 channels to fc7 before the last 1 x 1. As in the authors' networks that is the sum of
    six 1 x 1, and so each is computed where its features are and enlarged after. The logits are those of the authors'
    network for testing, one for every pixel; theirs for training has the same at every eighth pixel, by strides.

    Shape: (N, C, H, W) -> logits (N, num_classes, H, W), any H and W >= 1
    """

    backbone: VGG16
    classify: nn.ModuleList
    """Of fc7, the image, pool1 .. pool4."""

    def __init__(
        self,
        backbone: VGG16,
        fc6: PaddedConv,
        fc7: PaddedConv,
        classify: nn.ModuleList,
        average_pooling: bool,
        dropout: float,
        details: nn.ModuleList,
    ) -> None:
        super().__init__(backbone, fc6, fc7, classify, average_pooling, dropout)
        self.details = details

    def scores(self, x: Tensor) -> Tensor:
        *pools, pool5 = self.backbone.pooled(x)
        details = (detail(features) for detail, features in zip(self.details, (x, *pools), strict=True))
        logits: Tensor = x.new_zeros(())
        for classify, features in zip(self.classify, (self.semantics(pool5), *details), strict=True):
            scores = classify(features)  # at stride 8, 1, 2, 4, 8, 8 for output stride 8
            logits = logits + resize(scores, (x.shape[-2], x.shape[-1]), align_corners=self.align_corners)
        return logits


def _perceptron(in_channels: int, dropout: float) -> nn.Sequential:
    """128 of 3 x 3, 128 of 1 x 1 (section 4.3); dropout and the initial standard deviation are the authors'."""
    filters = PaddedConv(in_channels, DETAIL_CHANNELS, 3, bias=True)
    mix = PaddedConv(DETAIL_CHANNELS, DETAIL_CHANNELS, 1, bias=True)
    for layer in (filters, mix):
        nn.init.normal_(layer.weight, std=0.001)
    return nn.Sequential(filters, nn.ReLU(), nn.Dropout(dropout), mix, nn.ReLU(), nn.Dropout(dropout))
