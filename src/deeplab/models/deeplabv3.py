"""DeepLab v3 (Chen et al. 2017, arXiv 1706.05587): atrous spatial pyramid pooling over the deepest features."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from deeplab.backbones import Backbone
from deeplab.layers import ASPP, ATROUS_RATES, Classify, ConvNormAct
from deeplab.layers.aspp import EPS, MOMENTUM, pooling_window
from deeplab.models._base import SegmentationModel

__all__ = ["DeepLabV3", "deeplabv3"]


def deeplabv3(
    backbone: Backbone,
    *,
    num_classes: int,
    output_stride: int,
    atrous_rates: Sequence[int] | None = None,
    aspp_channels: int = 256,
    aspp_project_kernel_size: int = 1,
    aspp_separable: bool = False,
    image_pooling: bool = True,
    image_pooling_crop_size: Sequence[int] | None = None,
    image_pooling_stride: Sequence[int] = (1, 1),
    head_conv: bool = False,
    dropout: float = 0.1,
) -> DeepLabV3:
    """DeepLab v3.

    Args:
        atrous_rates: One 3 x 3 branch each; None: what the output stride asks for; none at all, (), is the light head
            of the official MobileNetV2 checkpoints.
        aspp_project_kernel_size: Of the convolution behind the branches: 1 in the paper, 3 in mmsegmentation.
        image_pooling_crop_size: (height, width) in pixels of the image that image pooling takes its mean over; None:
            all of it. Larger images than those of the training can be seen by windows of that size.
        image_pooling_stride: Steps between those windows, in features: rows, columns.
        head_conv: A 3 x 3 between ASPP and classifier, which torchvision has and the paper has not.
    """
    rates = ATROUS_RATES[output_stride] if atrous_rates is None else atrous_rates
    aspp = ASPP(
        backbone.channels.res5,
        channels=aspp_channels,
        atrous_rates=rates,
        separable=aspp_separable,
        image_pooling=image_pooling,
        pooling_window=pooling_window(image_pooling_crop_size, output_stride),
        pooling_stride=image_pooling_stride,
        project_kernel_size=aspp_project_kernel_size,
        dropout=dropout,
    )
    refine = ConvNormAct(aspp_channels, aspp_channels, 3, eps=EPS, momentum=MOMENTUM) if head_conv else nn.Identity()
    return DeepLabV3(backbone, aspp, refine, Classify(aspp_channels, num_classes))


class DeepLabV3(SegmentationModel):
    """ASPP over the deepest features, then one 1 x 1 (Fig. 5).

    Shape: (N, C, H, W) -> logits (N, num_classes, H, W), any H and W >= 1
    """

    def __init__(self, backbone: Backbone, aspp: ASPP, refine: nn.Module, classify: Classify) -> None:
        super().__init__()
        self.backbone = backbone
        self.aspp = aspp
        self.refine = refine
        self.classify = classify

    def coarse_logits(self, image: Tensor) -> Tensor:
        features = self.backbone(self.prepare(image))
        logits: Tensor = self.classify(
            self.refine(self.aspp(features.res5))
        )  # (N, num_classes, H / 16, W / 16) at stride 16
        return logits
