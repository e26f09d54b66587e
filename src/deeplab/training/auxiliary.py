"""Deep supervision (PSPNet, arXiv 1612.01105, section 4): a second head over res4 that teaches the backbone.

It lives in the training alone: it reads the features that the model computes anyway, and is not saved.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from deeplab.backbones import Backbone, Features
from deeplab.layers import Classify, ConvNormAct

__all__ = ["AuxiliaryHead", "features_of"]


class AuxiliaryHead(nn.Module):
    """A 3 x 3 to a quarter of the channels, dropout, and a classifier, as in torchvision and mmsegmentation.

    Shape: (N, in_channels, h, w) -> logits (N, num_classes, h, w)
    """

    def __init__(self, in_channels: int, num_classes: int, *, dropout: float = 0.1) -> None:
        super().__init__()
        channels = max(1, in_channels // 4)
        self.refine = ConvNormAct(in_channels, channels, 3)
        self.dropout = nn.Dropout(dropout)
        self.classify = Classify(channels, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.classify(self.dropout(self.refine(features)))
        return logits


@contextmanager
def features_of(backbone: Backbone) -> Iterator[list[Features[Tensor]]]:
    """A list of what `backbone` returns, call by call, inside the `with`."""
    seen: list[Features[Tensor]] = []

    def keep(module: nn.Module, _: Any, features: Features[Tensor]) -> None:
        seen.append(features)

    hook = backbone.register_forward_hook(keep)
    try:
        yield seen
    finally:
        hook.remove()
