"""A network that only predicts: each BatchNorm a part of the convolution before it, the image pooling a bias."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

from deeplab.layers.aspp import ASPP
from deeplab.layers.conv import BatchNorm, ConvNormAct, PaddedConv

_Network = TypeVar("_Network", bound=nn.Module)


def folded(network: _Network) -> _Network:
    """The same function in evaluation mode without its BatchNorms, to float32's rounding.

    The network stays as it is; what is not folded is shared with it, and one without any comes back itself. Folded
    filters on a CPU lie channels-last in memory, where their input does too.
    """
    if not any(isinstance(module, ConvNormAct) for module in network.modules()):
        return network
    shared = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    result = copy.deepcopy(network, shared)  # what is in the second argument is not copied
    for module in result.modules():
        if isinstance(module, ConvNormAct) and isinstance(module.norm, BatchNorm):
            module.conv = _folded(module.conv, module.norm)
            module.register_module("norm", nn.Identity())
    for parent in list(result.modules()):
        for name, module in parent.named_children():
            if isinstance(module, ASPP):
                setattr(parent, name, _with_image_bias(module))
    return result


class FoldedASPP(nn.Module):
    """ASPP in evaluation mode, with what the projection makes of the image pooling as its bias, which takes less.

    The mean over the image is the same everywhere, and so is what a 1 x 1 makes of it.

    Args:
        project: Without BatchNorm, with a bias; its input begins with the image pooling, as ASPP has it.

    Shape: (N, in_channels, h, w) -> (N, out_channels, h, w)
    """

    def __init__(
        self, image_pooling: nn.Module, pointwise: ConvNormAct, atrous: nn.ModuleList, project: ConvNormAct
    ) -> None:
        super().__init__()
        weight, bias = project.conv.weight.detach(), project.conv.bias
        assert bias is not None
        width = pointwise.conv.weight.shape[0]
        self.image_pooling, self.pointwise, self.atrous, self.project = image_pooling, pointwise, atrous, project
        with torch.device("meta"):  # its random start would be drawn for nothing
            self.image_bias = PaddedConv(width, weight.shape[0], 1, bias=True)
        self.image_bias.weight, self.image_bias.bias = _frozen(_copied(weight[:, :width])), bias
        project.conv.weight, project.conv.bias = _frozen(_copied(weight[:, width:])), None

    def forward(self, x: Tensor) -> Tensor:
        branches = [self.pointwise(x), *(branch(x) for branch in self.atrous)]
        bias = self.image_bias(self.image_pooling(x.mean(dim=(2, 3), keepdim=True)))  # (N, out_channels, 1, 1)
        out: Tensor = self.project.act(self.project.conv(torch.cat(branches, dim=1)) + bias)
        return out


def _with_image_bias(aspp: ASPP) -> nn.Module:
    """A `FoldedASPP` where the image pooling is one value all over the image; else the same module."""
    pooling, project = aspp.image_pooling, aspp.project
    if pooling is None or aspp.pooling_window is not None or not isinstance(project, ConvNormAct):
        return aspp
    if project.conv.weight.shape[2:] != (1, 1) or project.conv.bias is None:
        return aspp
    return FoldedASPP(pooling, aspp.pointwise, aspp.atrous, project)


@torch.no_grad()
def _folded(conv: PaddedConv, norm: BatchNorm) -> PaddedConv:
    """norm(conv(x)) as one convolution: w * g / sqrt(v + eps), b - m * g / sqrt(v + eps)."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    weight = (conv.weight.double() * scale[:, None, None, None]).to(conv.weight)
    bias = (norm.bias.double() - norm.running_mean.double() * scale).to(conv.weight)
    if weight.device.type == "cpu":
        weight = weight.contiguous(memory_format=torch.channels_last)
    conv.weight, conv.bias = _frozen(weight), _frozen(bias)
    return conv


def _frozen(values: Tensor) -> nn.Parameter:
    return nn.Parameter(values, requires_grad=False)


def _copied(values: Tensor) -> Tensor:
    return values.clone(memory_format=torch.preserve_format)
