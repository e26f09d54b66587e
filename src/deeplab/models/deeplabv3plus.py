"""DeepLab v3+ (Chen et al., ECCV 2018, arXiv 1802.02611): v3 as encoder, and a small decoder at stride 4."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from deeplab.backbones import Backbone
from deeplab.errors import SettingsError
from deeplab.layers import ASPP, ATROUS_RATES, Classify, ConvNormAct, SeparableConv, resize
from deeplab.layers.aspp import EPS, MOMENTUM, pooling_window
from deeplab.models._base import SegmentationModel

__all__ = ["DeepLabV3Plus", "deeplabv3plus"]


def deeplabv3plus(
    backbone: Backbone,
    *,
    num_classes: int,
    output_stride: int,
    atrous_rates: Sequence[int] | None = None,
    aspp_channels: int = 256,
    aspp_project_kernel_size: int = 1,
    aspp_separable: bool = True,
    image_pooling: bool = True,
    image_pooling_crop_size: Sequence[int] | None = None,
    low_level_channels: int = 48,
    decoder_channels: int = 256,
    decoder_separable: bool = True,
    decoder_convs: int = 2,
    head_conv: bool = False,
    norm_between: bool = True,
    pooling_norm: bool = True,
    dropout: float = 0.1,
) -> DeepLabV3Plus:
    """DeepLab v3+.

    Args:
        atrous_rates: One 3 x 3 branch each; None: what the output stride asks for; (): image pooling and 1 x 1 only.
        aspp_project_kernel_size: Of the convolution behind the branches: 1 in the paper, 3 in mmsegmentation.
        image_pooling_crop_size: As in `deeplabv3`.
        low_level_channels: What the stride 4 features are reduced to (48 in Table 1).
        decoder_channels: Width of the decoder's 3 x 3 (256 in Table 2).
        decoder_convs: How many those are: two in the paper (Table 2), one in most ports to PyTorch.
        head_conv: A 3 x 3 after ASPP as well, which segmentation-models-pytorch has and the paper has not.
        norm_between: Whether separable convolutions are normalised and activated between depthwise and pointwise.
        pooling_norm: Whether the image pooling is normalised, as in the official code; not in detectron2.
    """
    if decoder_convs < 1:
        raise SettingsError(f"decoder_convs wants a whole number of at least 1, got {decoder_convs}")
    rates = ATROUS_RATES[output_stride] if atrous_rates is None else atrous_rates
    aspp = ASPP(
        backbone.channels.res5,
        channels=aspp_channels,
        atrous_rates=rates,
        separable=aspp_separable,
        norm_between=norm_between,
        pooling_norm=pooling_norm,
        image_pooling=image_pooling,
        pooling_window=pooling_window(image_pooling_crop_size, output_stride),
        project_kernel_size=aspp_project_kernel_size,
        dropout=dropout,
    )
    layer = partial(ConvNormAct, eps=EPS, momentum=MOMENTUM)
    separable = partial(SeparableConv, eps=EPS, momentum=MOMENTUM, norm_between=norm_between)
    conv3x3 = separable if decoder_separable else partial(layer, kernel_size=3)
    refine = conv3x3(aspp_channels, aspp_channels) if head_conv else nn.Identity()
    reduce = layer(backbone.channels.res2, low_level_channels, 1)
    widths = [aspp_channels + low_level_channels, *[decoder_channels] * decoder_convs]
    decode = nn.Sequential(*(conv3x3(before, after) for before, after in pairwise(widths)))
    classify = Classify(decoder_channels, num_classes)
    return DeepLabV3Plus(backbone, aspp, refine, reduce, decode, classify)


class DeepLabV3Plus(SegmentationModel):
    """ASPP over the deepest features, then one decoder step at stride 4 (Fig. 2).

    Shape: (N, C, H, W) -> logits (N, num_classes, H, W), any H and W >= 1
    """

    def __init__(
        self,
        backbone: Backbone,
        aspp: ASPP,
        refine: nn.Module,
        reduce: nn.Module,
        decode: nn.Module,
        classify: Classify,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.aspp = aspp
        self.refine = refine
        self.reduce = reduce
        self.decode = decode
        self.classify = classify

    def coarse_logits(self, image: Tensor) -> Tensor:
        features = self.backbone(self.prepare(image))
        semantics = self.refine(self.aspp(features.res5))  # (N, 256, H/16, W/16) at output stride 16
        detail = self.reduce(features.res2)  # (N, 48, H/4, W/4)
        semantics = resize(semantics, detail.shape[-2:], align_corners=self.align_corners)
        logits: Tensor = self.classify(self.decode(torch.cat([semantics, detail], dim=1)))
        return logits
