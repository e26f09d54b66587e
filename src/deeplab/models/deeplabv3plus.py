"""DeepLab v3+ (Chen et al., ECCV 2018, arXiv 1802.02611): v3 as encoder, and a small decoder at stride 4."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn

from deeplab.backbones import Backbone, Features
from deeplab.errors import SettingsError
from deeplab.layers import ASPP, ATROUS_RATES, Classify, ConvNormAct, DensePredictionCell, SeparableConv, resize
from deeplab.layers.aspp import EPS, MOMENTUM, SqueezeExcite, pooling_window
from deeplab.layers.dense_prediction_cell import CITYSCAPES
from deeplab.models._base import SegmentationModel, refuse_options_of_aspp

__all__ = ["DeepLabV3Plus", "deeplabv3plus"]

LEVELS = {4: "res2", 8: "res3", 16: "res4"}
"""The low-level features by their stride."""

DecoderMerge = Literal["concat", "sum"]


def deeplabv3plus(
    backbone: Backbone,
    *,
    num_classes: int,
    output_stride: int,
    atrous_rates: Sequence[int] | None = None,
    aspp_channels: int = 256,
    aspp_project_kernel_size: int = 1,
    aspp_separable: bool = True,
    aspp_project: bool = True,
    image_pooling: bool = True,
    image_pooling_crop_size: Sequence[int] | None = None,
    image_pooling_stride: Sequence[int] = (1, 1),
    squeeze_excite: SqueezeExcite = "none",
    dense_prediction_cell: Literal["cityscapes"] | Sequence[Mapping[str, Any]] | None = None,
    decoder_strides: Sequence[int] = (4,),
    decoder_merge: DecoderMerge = "concat",
    decoder_logits: bool = False,
    low_level_channels: int = 48,
    decoder_channels: int = 256,
    decoder_separable: bool = True,
    decoder_convs: int = 2,
    head_conv: bool = False,
    norm_between: bool = True,
    pooling_norm: bool = True,
    pooling_align_corners: bool = True,
    bounded_activation: bool = False,
    dropout: float = 0.1,
) -> DeepLabV3Plus:
    """DeepLab v3+.

    Args:
        atrous_rates: One 3 x 3 branch each; None: what the output stride asks for; (): image pooling and 1 x 1 only.
        aspp_project_kernel_size: As in `deeplabv3`.
        aspp_project: Whether a 1 x 1 joins the branches of ASPP.
        image_pooling_crop_size: As in `deeplabv3`, and so `image_pooling_stride`.
        squeeze_excite: The image pooling as a factor on ASPP's result, as in the official MobileNetV3 models.
        dense_prediction_cell: In the place of ASPP: "cityscapes", the published one, or branches in the form of the
            official JSON files (see `DensePredictionCell`).
        decoder_strides: The low-level features by their stride, 16, 8 or 4, a step of the decoder each.
        decoder_merge: How a step joins what it has and the low-level features: side by side and then 3 x 3 (the
            paper), or one 3 x 3 and their sum (the official MobileNetV3 models).
        decoder_logits: Whether the last step, a sum, gives the logits without a classifier behind it: then both parts
            are one linear 1 x 1 (the official MobileNetV3 models).
        low_level_channels: What low-level features are reduced to (48 in Table 1); for a sum, `decoder_channels`.
        decoder_channels: Width of the decoder's 3 x 3 (256 in Table 2).
        decoder_convs: How many those are: two in the paper (Table 2), one in most ports to PyTorch and for a sum.
        head_conv: A 3 x 3 after ASPP as well, which segmentation-models-pytorch has and the paper has not.
        norm_between: Whether separable convolutions are normalised and activated between depthwise and pointwise.
        pooling_norm: Whether the image pooling is normalised, as in the official code; not in detectron2.
        pooling_align_corners: How its windows are resized to the features; False in detectron2.
        bounded_activation: ReLU6 in the place of ReLU in the head, which suits 8-bit numbers.

    Raises:
        SettingsError: A value that cannot work, or options of ASPP beside a dense prediction cell.
    """
    given = locals()
    if decoder_convs < 1:
        raise SettingsError(f"decoder_convs wants a whole number of at least 1, got {decoder_convs}")
    if not decoder_strides or any(stride not in LEVELS for stride in decoder_strides):
        raise SettingsError(f"decoder_strides want at least one of 16, 8 and 4, got {tuple(decoder_strides)}")
    if decoder_logits and decoder_merge != "sum":
        raise SettingsError("decoder_logits wants decoder_merge 'sum'")
    act: Literal["relu6", "relu"] = "relu6" if bounded_activation else "relu"
    encode: ASPP | DensePredictionCell
    if dense_prediction_cell is None:
        encode = ASPP(
            backbone.channels.res5,
            channels=aspp_channels,
            atrous_rates=ATROUS_RATES[output_stride] if atrous_rates is None else atrous_rates,
            separable=aspp_separable,
            norm_between=norm_between,
            pooling_norm=pooling_norm,
            pooling_align_corners=pooling_align_corners,
            image_pooling=image_pooling,
            pooling_window=pooling_window(image_pooling_crop_size, output_stride),
            pooling_stride=image_pooling_stride,
            squeeze_excite=squeeze_excite,
            project=aspp_project,
            project_kernel_size=aspp_project_kernel_size,
            act=act,
            dropout=dropout,
        )
    else:
        refuse_options_of_aspp(deeplabv3plus, given, instead="dense_prediction_cell")
        encode = DensePredictionCell(
            backbone.channels.res5,
            cell=_cell(dense_prediction_cell),
            channels=aspp_channels,
            output_stride=output_stride,
            norm_between=norm_between,
            act=act,
            dropout=dropout,
        )
    pointwise = partial(ConvNormAct, kernel_size=1, act=act, eps=EPS, momentum=MOMENTUM)
    conv3x3 = (
        partial(SeparableConv, norm_between=norm_between, act=act, eps=EPS, momentum=MOMENTUM)
        if decoder_separable
        else partial(pointwise, kernel_size=3)
    )
    channels = encode.out_channels
    refine = conv3x3(channels, channels) if head_conv else nn.Identity()
    decoder: list[DecoderStep] = []
    for stride in decoder_strides:
        level = LEVELS[stride]
        detail = getattr(backbone.channels, level)
        if decoder_logits and len(decoder) == len(decoder_strides) - 1:
            decoder.append(SumStep(level, Classify(detail, num_classes), Classify(channels, num_classes)))
        elif decoder_merge == "sum":
            decoder.append(SumStep(level, pointwise(detail, decoder_channels), conv3x3(channels, decoder_channels)))
        else:
            widths = [channels + low_level_channels, *[decoder_channels] * decoder_convs]
            convs = nn.Sequential(*(conv3x3(before, after) for before, after in pairwise(widths)))
            decoder.append(ConcatStep(level, pointwise(detail, low_level_channels), convs))
        channels = decoder_channels
    classify = nn.Identity() if decoder_logits else Classify(channels, num_classes)
    return DeepLabV3Plus(backbone, encode, refine, decoder, classify)


class DeepLabV3Plus(SegmentationModel):
    """ASPP over the deepest features, then one decoder step at stride 4 (Fig. 2), or several at falling strides.

    Shape: (N, C, H, W) -> logits (N, num_classes, H, W), any H and W >= 1
    """

    def __init__(
        self,
        backbone: Backbone,
        aspp: ASPP | DensePredictionCell,
        refine: nn.Module,
        decoder: Sequence[DecoderStep],
        classify: nn.Module,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.aspp = aspp
        self.refine = refine
        self.decoder = nn.ModuleList(decoder)
        self.classify = classify
        if isinstance(classify, nn.Identity):
            self.last_layer = f"decoder.{len(decoder) - 1}."

    def scores(self, x: Tensor) -> Tensor:
        features = self.backbone(x)
        x = self.refine(self.aspp(features.res5))  # (N, 256, H/16, W/16) at output stride 16
        for step in self.decoder:
            x = step(x, features, align_corners=self.align_corners)  # (N, 256, H/4, W/4) after the one at stride 4
        logits: Tensor = self.classify(x)
        return logits


class DecoderStep(nn.Module):
    """One step of the decoder: semantics, resized to low-level features that are reduced, and both joined.

    Shape: (N, C, h, w), Features -> (N, channels, H/stride, W/stride)
    """

    def __init__(self, level: str, reduce: nn.Module, decode: nn.Module) -> None:
        super().__init__()
        self.level = level
        self.reduce = reduce
        self.decode = decode

    def forward(self, x: Tensor, features: Features[Tensor], *, align_corners: bool) -> Tensor:
        detail = self.reduce(getattr(features, self.level))
        return self.join(x, detail, resize=partial(resize, size=detail.shape[-2:], align_corners=align_corners))

    def join(self, x: Tensor, detail: Tensor, *, resize: Callable[[Tensor], Tensor]) -> Tensor:
        raise NotImplementedError


class ConcatStep(DecoderStep):
    """Both side by side, then 3 x 3 (Fig. 2)."""

    def join(self, x: Tensor, detail: Tensor, *, resize: Callable[[Tensor], Tensor]) -> Tensor:
        out: Tensor = self.decode(torch.cat([resize(x), detail], dim=1))
        return out


class SumStep(DecoderStep):
    """One convolution, then the sum of both (the official `decoder_use_sum_merge`)."""

    def join(self, x: Tensor, detail: Tensor, *, resize: Callable[[Tensor], Tensor]) -> Tensor:
        if isinstance(self.decode, Classify):  # linear, 1 x 1: the same before and after, and before it is less
            return resize(self.decode(x)) + detail
        out: Tensor = self.decode(resize(x)) + detail
        return out


def _cell(given: str | Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    if isinstance(given, str) and given != "cityscapes":
        raise SettingsError(f"dense_prediction_cell wants 'cityscapes' or a list of branches, got '{given}'")
    return CITYSCAPES if isinstance(given, str) else given
