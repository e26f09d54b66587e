"""Convolution, normalisation, activation: the block that everything here is built of."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn import grad

from deeplab.errors import SettingsError

Padding = Literal["symmetric", "same", "caffe"]
"""How a layer pads: "symmetric" by half its extent on both sides; "same" as TensorFlow's SAME, which puts the odd pixel
on the bottom and the right; "caffe" as symmetric, but pooling rounds its size up and so has one sample more than
ceil(size / 2). They differ only for stride 2 at even sizes."""

Pair = tuple[int, int]

Activation = Literal["relu", "relu6", "hard_swish", "clip", "none"]


class Clip(nn.Hardtanh):
    """Keep what is in -6 .. 6, as the official code's bounded activations do where there is no ReLU6."""

    def __init__(self) -> None:
        super().__init__(-6, 6)


ACTIVATIONS: dict[Activation, type[nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "hard_swish": nn.Hardswish,
    "clip": Clip,
    "none": nn.Identity,
}


class HardSigmoid(nn.Module):
    """A sigmoid of three straight lines; the official code's slope is 0.16667, PyTorch's a sixth."""

    def __init__(self, slope: float = 0.16667) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        return F.relu6(x + 3) * self.slope


class PaddedConv(nn.Conv2d):
    """A convolution that keeps ceil(size / stride) samples, under either padding rule, or pads nothing.

    `dilation` is one number, or one for the rows and one for the columns.

    Shape: (N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride)); fewer without padding
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        dilation: int | Pair = 1,
        groups: int = 1,
        bias: bool = False,
        padding: Padding | Literal["none"] = "symmetric",
    ) -> None:
        self.asymmetric = padding == "same" and stride > 1
        padded = not self.asymmetric and padding != "none"
        rows, columns = (dilation, dilation) if isinstance(dilation, int) else dilation
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=(rows * (kernel_size - 1) // 2, columns * (kernel_size - 1) // 2) if padded else 0,
            dilation=(rows, columns),
            groups=groups,
            bias=bias,
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.asymmetric:
            x = _padded_same(x, self.kernel_size[0], self.stride[0], (self.dilation[0], self.dilation[1]))
        depthwise = self.groups == self.in_channels == self.out_channels > 1 and self.bias is None
        if depthwise and self.training and x.device.type == "cpu":
            out: Tensor = _DepthwiseOnCPU.apply(x, self.weight, self.stride, self.padding, self.dilation)
            return out
        return super().forward(x)


class _DepthwiseOnCPU(torch.autograd.Function):
    """A depthwise convolution whose gradients are computed the way that is fast on a CPU.

    The gradient of the weight is summed in float32 over channels-last tensors, which takes a fifth to a tenth of the
    time of bfloat16; that of the input, at stride 1, is a convolution with the kernel turned by 180 degrees.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: Pair, padding: Pair, dilation: Pair) -> Tensor:
        if torch.is_autocast_enabled("cpu"):
            x, weight = (tensor.to(torch.get_autocast_dtype("cpu")) for tensor in (x, weight))
        ctx.save_for_backward(x, weight)
        ctx.geometry = stride, padding, dilation
        return F.conv2d(x, weight, None, stride, padding, dilation, weight.shape[0])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        x, weight = ctx.saved_tensors
        stride, padding, dilation = ctx.geometry
        groups = weight.shape[0]
        for_x = for_weight = None
        if ctx.needs_input_grad[0] and stride == (1, 1):
            rest = [dilation[i] * (weight.shape[i + 2] - 1) - padding[i] for i in range(2)]
            for_x = F.conv2d(gradient, weight.flip(2, 3), None, 1, rest, dilation, groups)
        elif ctx.needs_input_grad[0]:
            for_x = grad.conv2d_input(x.shape, weight, gradient, stride, padding, dilation, groups)  # type: ignore[no-untyped-call]
        if ctx.needs_input_grad[1]:
            exact = torch.promote_types(x.dtype, torch.float32)
            x, gradient = (tensor.to(exact, memory_format=torch.channels_last) for tensor in (x, gradient))
            for_weight = grad.conv2d_weight(x, weight.shape, gradient, stride, padding, dilation, groups)  # type: ignore[no-untyped-call]
        return for_x, for_weight, None, None, None


class MaxPool(nn.MaxPool2d):
    """The largest of every 3 x 3, under either padding rule.

    Shape: (N, C, H, W) -> (N, C, ceil(H / stride), ceil(W / stride))
    """

    def __init__(self, *, stride: int = 2, dilation: int = 1, padding: Padding = "symmetric") -> None:
        self.geometry = 3, stride, (dilation, dilation)
        self.padded_before = stride == 1 or padding == "same"  # PyTorch pads by no more than half the kernel
        pad = 0 if self.padded_before else 1
        super().__init__(3, stride=stride, padding=pad, dilation=dilation, ceil_mode=padding == "caffe")

    def forward(self, x: Tensor) -> Tensor:
        if self.padded_before:
            x = _padded_same(x, *self.geometry, value=-math.inf)
        out: Tensor = super().forward(x)
        return out


def _padded_same(x: Tensor, kernel: int, stride: int, dilation: Pair, *, value: float = 0.0) -> Tensor:
    """TensorFlow's SAME: as little padding as gives ceil(length / stride) samples, the odd pixel after."""
    pads: list[int] = []
    for length, gap in ((x.shape[-1], dilation[1]), (x.shape[-2], dilation[0])):
        total = (kernel - 1) * gap - (length - 1) % stride
        if kernel < stride:  # else it is never negative; without `max`, sizes that are symbols are simpler to trace
            total = max(total, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads, value=value)


class BatchNorm(nn.BatchNorm2d):
    """BatchNorm that a batch of one value per channel does not stop.

    Image pooling turns one image into one value per channel; its variance is unknown, so such a batch is normalised
    by the running statistics, as in evaluation, and leaves them alone.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.shape[0] * x.shape[2] * x.shape[3] == 1:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        return super().forward(x)


class BatchNormAct(BatchNorm):
    """BatchNorm and the activation behind it in one layer, as timm has them; tensors are named as BatchNorm's."""

    def __init__(self, num_features: int, *, act: nn.Module, **options: Any) -> None:
        super().__init__(num_features, **options)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(super().forward(x))
        return out


class GroupNormAct(nn.GroupNorm):
    """GroupNorm and the activation behind it, in the place of a `BatchNormAct`."""

    def __init__(self, num_groups: int, num_channels: int, *, eps: float, act: nn.Module) -> None:
        super().__init__(num_groups, num_channels, eps=eps)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(super().forward(x))
        return out


def use_group_norm(network: nn.Module) -> None:
    """Put GroupNorm (Wu and He, ECCV 2018, arXiv 1803.08494) in the place of every BatchNorm, with the same names.

    32 groups as there, or as many as leave two channels or more in each, so that one value per channel has a variance.

    Raises:
        SettingsError: A normalisation that does more than BatchNorm, as some of timm's do.
    """
    for module in list(network.modules()):
        for name, norm in module.named_children():
            if isinstance(norm, nn.modules.batchnorm._BatchNorm):
                if type(norm) not in (BatchNorm, BatchNormAct, nn.BatchNorm2d):
                    raise SettingsError(
                        f"norm 'group' cannot take the place of {type(norm).__name__}; "
                        "leave it out, in a training by --batch-norm train"
                    )
                channels = norm.num_features
                groups = math.gcd(32, channels // 2) if channels % 2 == 0 else 1
                if isinstance(norm, BatchNormAct):
                    setattr(module, name, GroupNormAct(groups, channels, eps=norm.eps, act=norm.act))
                else:
                    setattr(module, name, nn.GroupNorm(groups, channels, eps=norm.eps))


def use_sync_norm(network: nn.Module) -> None:
    """Have every BatchNorm take its statistics over all processes, with the same names; activations in one stay.

    PyTorch's own conversion forgets what is within a layer that derives from BatchNorm.
    """
    for module in list(network.modules()):
        for name, norm in module.named_children():
            if isinstance(norm, nn.BatchNorm2d):
                synced = nn.SyncBatchNorm.convert_sync_batchnorm(norm)  # type: ignore[no-untyped-call]
                if isinstance(norm, BatchNormAct):
                    synced.register_forward_hook(lambda layer, _, out: layer.act(out))
                setattr(module, name, synced)


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
        dilation: int | Pair = 1,
        groups: int = 1,
        padding: Padding | Literal["none"] = "symmetric",
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

    As the "split" separable convolution of the official code, normalised and activated between the two as well; not
    so with `norm_between` False, as segmentation-models-pytorch has it. Initial standard deviations 0.33
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
        dilation: int | Pair = 1,
        padding: Padding = "symmetric",
        act: Activation = "relu",
        eps: float = 1e-5,
        momentum: float = 0.1,
        norm_between: bool = True,
    ) -> None:
        super().__init__()
        geometry: dict[str, Any] = {"stride": stride, "dilation": dilation, "padding": padding, "groups": in_channels}
        if norm_between:
            self.depthwise: ConvNormAct | PaddedConv = ConvNormAct(
                in_channels, in_channels, kernel_size, act=act, eps=eps, momentum=momentum, **geometry
            )
            filters = self.depthwise.conv.weight
        else:
            self.depthwise = PaddedConv(in_channels, in_channels, kernel_size, **geometry)
            filters = self.depthwise.weight
        self.pointwise = ConvNormAct(in_channels, out_channels, 1, act=act, eps=eps, momentum=momentum)
        nn.init.trunc_normal_(filters, std=0.33)
        nn.init.trunc_normal_(self.pointwise.conv.weight, std=0.06)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.pointwise(self.depthwise(x))
        return out
