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
    for module in result.modules():
        if isinstance(module, ASPP):
            module.split_projection()
    return result


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
