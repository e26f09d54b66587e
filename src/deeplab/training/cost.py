"""What a network costs in training: counted in one pass over a small image, as it grows with the pixels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from deeplab.layers import counted
from deeplab.models import SegmentationModel

__all__ = ["Cost", "cost_of"]

SIDE = 129
"""Of that image, in pixels: the features of stride 32 still have 5 x 5."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of a pixel of the crop, where it is not said otherwise."""

    multiply_adds: float
    """Of the convolutions on the way forward; the way back has twice as many."""
    memory: float
    """Bytes in float32 that the way back needs."""
    weights: int
    """Bytes of the weights, whatever the crop."""


def cost_of(model: SegmentationModel) -> Cost:
    """Count what one image of `model` costs; the model is left as it is."""
    kept: dict[int, Tensor] = {}
    weights = {parameter.data_ptr(): parameter.nbytes for parameter in model.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor  # holds it, so that no other one gets its place
        return tensor

    with counted(model) as work, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = model(torch.zeros(1, 3, SIDE, SIDE))
    kept[logits.untyped_storage().data_ptr()] = logits
    memory = sum(tensor.untyped_storage().nbytes() for place, tensor in kept.items() if place not in weights)
    return Cost(multiply_adds=work.multiply_adds / SIDE**2, memory=memory / SIDE**2, weights=sum(weights.values()))
