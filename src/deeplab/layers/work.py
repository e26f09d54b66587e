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
    bytes: int = 0
    """Of each one's input, output and weights, each read or written once."""


@contextmanager
def counted(network: nn.Module) -> Iterator[Work]:
    """The work of `network` up to now, as long as the context lasts; on "meta" too, where nothing is computed."""
    work = Work()

    def count(layer: nn.Conv2d | nn.Linear, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        work.multiply_adds += output.numel() * layer.weight[0].numel()
        work.bytes += inputs[0].nbytes + output.nbytes + layer.weight.nbytes

    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    try:
        yield work
    finally:
        for hook in hooks:
            hook.remove()
