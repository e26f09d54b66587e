"""What a network computes, counted while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor, nn

__all__ = ["Work", "counted"]


@dataclass
class Work:
    """Of convolutions and linear layers, by which DeepLab's networks are measured."""

    multiply_adds: int = 0
    inside: int = 0
    """Multiply-adds without those on the padding around a layer's input, which engines leave out: of a 3 x 3 whose rate
    is the side of its input, a ninth."""
    bytes: int = 0
    """Of each one's input, output and weights, each read or written once."""


@contextmanager
def counted(network: nn.Module) -> Iterator[Work]:
    """The work of `network` up to now, as long as the context lasts; on "meta" too, where nothing is computed."""
    work = Work()

    def count(layer: nn.Conv2d | nn.Linear, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        multiply_adds = output.numel() * layer.weight[0].numel()
        work.multiply_adds += multiply_adds
        work.inside += multiply_adds if isinstance(layer, nn.Linear) else _inside(layer, inputs[0], output)
        work.bytes += inputs[0].nbytes + output.nbytes + layer.weight.nbytes

    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    try:
        yield work
    finally:
        for hook in hooks:
            hook.remove()


def _inside(layer: nn.Conv2d, image: Tensor, output: Tensor) -> int:
    """The multiply-adds of which the sample lies in the input."""
    samples = 1
    for axis in range(2):
        length, count, stride = image.shape[2 + axis], output.shape[2 + axis], layer.stride[axis]
        before = _padding(layer, axis)
        starts = (tap * layer.dilation[axis] - before for tap in range(layer.kernel_size[axis]))
        samples *= sum(_within(start, stride, count, length) for start in starts)
    return output.shape[0] * output.shape[1] * layer.weight.shape[1] * samples


def _padding(layer: nn.Conv2d, axis: int) -> int:
    """Rows or columns of padding before the input; some of timm's layers say it in words."""
    if layer.padding == "same":
        return layer.dilation[axis] * (layer.kernel_size[axis] - 1) // 2
    return 0 if layer.padding == "valid" else int(layer.padding[axis])


def _within(start: int, stride: int, count: int, length: int) -> int:
    """How many of `count` positions, every `stride` from `start` on, are in 0 .. length - 1."""
    first = max(0, -(start // stride))
    last = min(count - 1, (length - 1 - start) // stride)
    return max(0, last - first + 1)
