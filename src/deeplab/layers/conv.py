"""Convolution, normalisation, activation: the block that everything here is built of."""

from __future__ import annotations

import math
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

Padding = Literal["symmetric", "same"]
"""How a convolution pads: "symmetric" by half its extent on both sides (PyTorch, Caffe); "same" as TensorFlow's
SAME, which at even sizes puts the odd pixel of a strided convolution on the bottom and the right. The two differ
only for stride 2 at even sizes."""

Activation = Literal["relu", "relu6", "none"]

ACTIVATIONS: dict[Activation, type[nn.Module]] = {"relu": nn.ReLU, "relu6": nn.ReLU6, "none": nn.Identity}


class PaddedConv(nn.Conv2d):
    """A convolution that keeps ceil(size / stride) samples, under either padding rule.

    Shape: (N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride))
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = False,
        padding: Padding = "symmetric",
    ) -> None:
        self.asymmetric = padding == "same" and stride > 1
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=0 if self.asymmetric else dilation * (kernel_size - 1) // 2,
            dilation=dilation,
            groups=groups,
            bias=bias,
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.asymmetric:
            (top, bottom), (left, right) = (
                _same_padding(x.shape[axis], self.kernel_size[axis + 2], self.stride[axis + 2], self.dilation[axis + 2])
                for axis in (-2, -1)
            )
            x = F.pad(x, (left, right, top, bottom))
        return super().forward(x)


def _same_padding(length: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """TensorFlow's SAME: as little as gives ceil(length / stride) samples, the odd pixel after."""
    samples = -(-length // stride)
    total = max((samples - 1) * stride + (kernel - 1) * dilation + 1 - length, 0)
    return total // 2, total - total // 2


class BatchNorm(nn.BatchNorm2d):
    """BatchNorm that a batch of one value per channel does not stop.

    Image pooling turns one image into one value per channel; its variance is unknown, so such a batch is normalised
    by the running statistics, as in evaluation, and leaves them alone.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.shape[0] * x.shape[2] * x.shape[3] == 1:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        return super().forward(x)


class ConvNormAct(nn.Module):
    """Convolution without bias, BatchNorm, activation.

    Shape: (N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride))
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        padding: Padding = "symmetric",
        act: Activation = "relu",
        eps: float = 1e-5,
        momentum: float = 0.1,
    ) -> None:
        super().__init__()
        self.conv = PaddedConv(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            dilation=dilation,
            groups=groups,
            padding=padding,
        )
        self.norm = BatchNorm(out_channels, eps=eps, momentum=momentum)
        self.act = ACTIVATIONS[act]()
        nn.init.normal_(self.conv.weight, std=math.sqrt(2 * groups / (out_channels * kernel_size**2)))  # He et al. 2015

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.norm(self.conv(x)))
        return out


class Classify(nn.Conv2d):
    """The last 1 x 1, from features to one score per class; initial standard deviation 0.01 as in the official code.

    Shape: (N, in_channels, H, W) -> logits (N, num_classes, H, W)
    """

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__(in_channels, num_classes, 1)
        nn.init.trunc_normal_(self.weight, std=0.01)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class SeparableConv(nn.Module):
    """Depthwise 3 x 3, BatchNorm, activation, then pointwise, BatchNorm, activation.

    As the "split" separable convolution of the official code, normalised and activated between the two as well
    (segmentation-models-pytorch has neither there: its weights do not transfer). Initial standard deviations 0.33
    and 0.06 as there (core/utils.py, split_separable_conv2d).

    Shape: (N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride))
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel_size: int = 3,
        stride: int = 1,
        dilation: int = 1,
        padding: Padding = "symmetric",
        act: Activation = "relu",
        eps: float = 1e-5,
        momentum: float = 0.1,
    ) -> None:
        super().__init__()
        self.depthwise = ConvNormAct(
            in_channels,
            in_channels,
            kernel_size,
            stride=stride,
            dilation=dilation,
            groups=in_channels,
            padding=padding,
            act=act,
            eps=eps,
            momentum=momentum,
        )
        self.pointwise = ConvNormAct(in_channels, out_channels, 1, act=act, eps=eps, momentum=momentum)
        nn.init.trunc_normal_(self.depthwise.conv.weight, std=0.33)
        nn.init.trunc_normal_(self.pointwise.conv.weight, std=0.06)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.pointwise(self.depthwise(x))
        return out
