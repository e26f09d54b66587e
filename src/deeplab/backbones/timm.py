"""timm's encoders (Wightman, github.com/huggingface/pytorch-image-models): each that dilates and takes any image."""

from __future__ import annotations

import difflib
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deeplab._optional import require
from deeplab.backbones._base import Backbone, Features
from deeplab.errors import SettingsError, UnknownNameError
from deeplab.layers import BatchNorm, BatchNormAct

__all__ = ["Timm", "member"]

WELL_KNOWN = (
    "convnext_tiny",
    "efficientnet_b0",
    "mobilenetv3_large_100",
    "regnety_008",
    "resnet50",
    "xception65",
)

WELL_KNOWN_AT_STRIDE_4 = ("efficientnet_b0", "mobilenetv3_large_100")
"""Those of them that can be dilated that far."""


def member(name: str, *, in_channels: int = 3, output_stride: int = 16) -> Timm:
    """The encoder that timm calls `name`, such as `resnet50` or `resnet50.a1_in1k`, with random weights.

    Raises:
        MissingExtraError: timm is not installed.
        UnknownNameError: It has no such encoder.
        SettingsError: The encoder cannot be dilated to this output stride, or takes one size of image alone.
    """
    timm = require("timm", extra="timm")
    known = {*timm.list_models(), *timm.list_pretrained()}
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3)
        hint = f"did you mean {', '.join(near)}?" if near else f"well-known ones are {', '.join(WELL_KNOWN)}"
        raise UnknownNameError(f"no timm encoder '{name}'; {hint}")
    try:
        return Timm(timm, name, in_channels=in_channels, output_stride=output_stride)
    except Exception as error:  # timm's networks refuse in as many ways as there are of them
        fitting = WELL_KNOWN_AT_STRIDE_4 if output_stride == 4 else WELL_KNOWN
        raise SettingsError(
            f"timm/{name} has no features of any image at output stride {output_stride}; "
            f"well-known encoders that have are {', '.join(fitting)}"
        ) from error


class Timm(Backbone):
    """An encoder of timm's, its normalisation, and its features at strides 4, 8, 16 and 32.

    In most a finer output stride only adds samples, as it does in ours: ResNet, RegNet, EfficientNet, MobileNet,
    Xception. It does not where a stride is a pooling or goes with one (ResNet-D, ResNeSt, NFNet, MobileViT), nor in
    ConvNeXt at stride 8, whose dilated 2 x 2 reads one sample further up and left; these want training at the output
    stride of their use.

    An encoder of patches, ConvNeXt for one, drops what does not fill a patch; its image gets zeros at the bottom and
    the right instead.

    Shape: (N, in_channels, H, W) -> Features of (N, channels.resK, ceil(H / stride), ceil(W / stride))
    """

    def __init__(self, timm: Any, name: str, *, in_channels: int, output_stride: int) -> None:
        super().__init__()
        dilated = {} if output_stride == 32 else {"output_stride": output_stride}  # not all have the argument
        self.encoder: nn.Module = timm.create_model(
            name, pretrained=False, features_only=True, out_indices=(-4, -3, -2, -1), in_chans=in_channels, **dilated
        )
        _use_our_batch_norm(self.encoder, with_act=timm.layers.BatchNormAct2d)
        self.channels = Features(*self.encoder.feature_info.channels())
        self.strides = [min(stride, output_stride) for stride in (4, 8, 16, 32)]
        self.image_mean = tuple(self.encoder.default_cfg["mean"])
        self.image_std = tuple(self.encoder.default_cfg["std"])
        self.patch = 1
        if not self._fits(in_channels):
            self.patch = output_stride
            if not self._fits(in_channels):
                raise ValueError(f"features at strides {self.encoder.feature_info.reduction()}")

    def forward(self, x: Tensor) -> Features[Tensor]:
        height, width = x.shape[-2:]
        features = self.encoder(F.pad(x, (0, -width % self.patch, 0, -height % self.patch)))
        # with nothing negative, which ONNX divides towards zero
        sizes = [((height + stride - 1) // stride, (width + stride - 1) // stride) for stride in self.strides]
        return Features(*(feature[..., :h, :w] for feature, (h, w) in zip(features, sizes, strict=True)))

    @torch.no_grad()
    def _fits(self, in_channels: int) -> bool:
        """Whether the features of an image that is no multiple of the stride have their channels and sizes."""
        size = 33
        features = self.eval()(torch.zeros(1, in_channels, size, size))
        self.train()
        sizes = [-(-size // stride) for stride in self.strides]
        return [tuple(feature.shape[1:]) for feature in features] == [
            (channels, side, side) for channels, side in zip(self.channels, sizes, strict=True)
        ]


def _use_our_batch_norm(encoder: nn.Module, *, with_act: type[nn.Module]) -> None:
    """Put ours in the place of every BatchNorm, PyTorch's own and timm's `with_act`, with the same tensors.

    timm's may also drop some of what they normalise, by an option that is not given here.
    """
    for module in list(encoder.modules()):
        for name, norm in module.named_children():
            if type(norm) not in (nn.BatchNorm2d, with_act):
                continue
            assert isinstance(norm, nn.BatchNorm2d)
            options: dict[str, Any] = {
                each: getattr(norm, each) for each in ("eps", "momentum", "affine", "track_running_stats")
            }
            if isinstance(norm, with_act):
                new: BatchNorm = BatchNormAct(norm.num_features, act=norm.get_submodule("act"), **options)
            else:
                new = BatchNorm(norm.num_features, **options)
            new.load_state_dict(norm.state_dict())
            setattr(module, name, new)
