"""DeepLab v1 (Chen et al., ICLR 2015, arXiv 1412.7062): VGG-16's fully connected layers as convolutions with holes."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from deeplab.backbones import Backbone
from deeplab.layers import Classify, PaddedConv
from deeplab.models._base import SegmentationModel

__all__ = ["DeepLabV1", "deeplabv1"]

RATES = {4: 24, 8: 12, 16: 6, 32: 3}
"""LargeFOV's rate of 12 at the paper's stride of 8, so that the field of view stays at other strides."""


def deeplabv1(
    backbone: Backbone,
    *,
    num_classes: int,
    output_stride: int,
    kernel_size: int = 3,
    atrous_rate: int | None = None,
    hidden_channels: int = 1024,
    average_pooling: bool = True,
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
    """
    rate = RATES[output_stride] if atrous_rate is None else atrous_rate
    fc6 = PaddedConv(backbone.channels.res5, hidden_channels, kernel_size, dilation=rate, bias=True)
    fc7 = PaddedConv(hidden_channels, hidden_channels, 1, bias=True)
    return DeepLabV1(backbone, fc6, fc7, Classify(hidden_channels, num_classes), average_pooling, dropout)


class DeepLabV1(SegmentationModel):
    """One atrous convolution with a large field of view, then two 1 x 1 (section 3.1; 5.1, "Field of View").

    Shape: (N, C, H, W) -> logits (N, num_classes, H, W), any H and W >= 1
    """

    def __init__(
        self,
        backbone: Backbone,
        fc6: PaddedConv,
        fc7: PaddedConv,
        classify: Classify,
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

    def coarse_logits(self, image: Tensor) -> Tensor:
        x = self.average(self.backbone(self.prepare(image)).res5)
        x = self.dropout(F.relu(self.fc6(x)))
        x = self.dropout(F.relu(self.fc7(x)))
        logits: Tensor = self.classify(x)
        return logits
