"""DeepLab v3 (Chen et al. 2017, arXiv 1706.05587): atrous spatial pyramid pooling over the deepest features, or further
blocks in cascade."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from deeplab.backbones import Backbone
from deeplab.errors import SettingsError
from deeplab.layers import ASPP, ATROUS_RATES, Activation, Classify, ConvNormAct
from deeplab.layers.aspp import EPS, MOMENTUM, pooling_window
from deeplab.models._base import SegmentationModel, refuse_options_of_aspp

__all__ = ["DeepLabV3", "DeepLabV3Cascade", "deeplabv3"]


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
    pooling_norm: bool = True,
    pooling_align_corners: bool = True,
    bounded_activation: bool = False,
    head_conv: bool = False,
    cascade_blocks: int = 0,
    dropout: float = 0.1,
) -> DeepLabV3 | DeepLabV3Cascade:
    """DeepLab v3.

    Args:
        atrous_rates: One 3 x 3 branch each; None: what the output stride asks for; none at all, (), is the light head
            of the official MobileNetV2 checkpoints.
        aspp_project_kernel_size: Of the convolution behind the branches: 1 in the paper, 3 in mmsegmentation.
        image_pooling_crop_size: (height, width) in pixels of the image that image pooling takes its mean over; None:
            all of it. Larger images than those of the training can be seen by windows of that size.
        image_pooling_stride: Steps between those windows, in features: rows, columns.
        pooling_norm: Whether the image pooling is normalised, as in the official code; not in detectron2.
        pooling_align_corners: How its windows are resized to the features; False in detectron2.
        bounded_activation: ReLU6 in the place of ReLU in the head, which suits 8-bit numbers.
        head_conv: A 3 x 3 between ASPP and classifier, which torchvision has and the paper has not.
        cascade_blocks: Blocks like the last one of a ResNet after it, in the place of ASPP and all of its options: 3
            is the paper's "block7", which is best with `multi_grid` (1, 2, 1) (Table 3).

    Raises:
        SettingsError: `cascade_blocks` below 0, on a backbone without residual blocks, or with options of ASPP.
    """
    given = locals()
    if cascade_blocks < 0:
        raise SettingsError(f"cascade_blocks wants a whole number of at least 0, got {cascade_blocks}")
    if cascade_blocks:
        also = ("aspp_channels", "bounded_activation", "dropout", "head_conv")
        refuse_options_of_aspp(deeplabv3, given, instead="cascade_blocks", also=also)
        last = 32 // output_stride  # the rate of the backbone's last block
        blocks = nn.Sequential(*(backbone.replica(last * 2**block) for block in range(1, cascade_blocks + 1)))
        return DeepLabV3Cascade(backbone, blocks, Classify(backbone.channels.res5, num_classes))
    rates = ATROUS_RATES[output_stride] if atrous_rates is None else atrous_rates
    act: Activation = "relu6" if bounded_activation else "relu"
    aspp = ASPP(
        backbone.channels.res5,
        channels=aspp_channels,
        atrous_rates=rates,
        separable=aspp_separable,
        image_pooling=image_pooling,
        pooling_norm=pooling_norm,
        pooling_align_corners=pooling_align_corners,
        pooling_window=pooling_window(image_pooling_crop_size, output_stride),
        pooling_stride=image_pooling_stride,
        project_kernel_size=aspp_project_kernel_size,
        act=act,
        dropout=dropout,
    )
    refine = (
        ConvNormAct(aspp_channels, aspp_channels, 3, act=act, eps=EPS, momentum=MOMENTUM)
        if head_conv
        else nn.Identity()
    )
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

    def scores(self, x: Tensor) -> Tensor:
        features = self.backbone(x)
        logits: Tensor = self.classify(
            self.refine(self.aspp(features.res5))
        )  # (N, num_classes, H / 16, W / 16) at stride 16
        return logits


class DeepLabV3Cascade(SegmentationModel):
    """Blocks like the last one after it, each at twice the rate of the one before, then one 1 x 1 (Fig. 3 b).

    At output stride 16 block4, the last of the backbone, has rate 2, block5 to block7 have 4, 8 and 16, times
    `multi_grid` inside each (section 3.2.1). The further blocks have the layout of block4 and weights of their own,
    random at first: its first unit reads fewer channels, so that its weights could not be copied.

    Shape: (N, C, H, W) -> logits (N, num_classes, H, W), any H and W >= 1
    """

    def __init__(self, backbone: Backbone, blocks: nn.Sequential, classify: Classify) -> None:
        super().__init__()
        self.backbone = backbone
        self.blocks = blocks
        self.classify = classify

    def scores(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classify(
            self.blocks(self.backbone(x).res5)
        )  # (N, num_classes, H / 16, W / 16) at stride 16
        return logits
