"""The only bilinear resize of the project."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def resize(x: Tensor, size: tuple[int, int], *, align_corners: bool) -> Tensor:
    """Resize bilinearly.

    Args:
        x: (N, C, h, w), float.
        size: (height, width) of the result.
        align_corners: True puts the centres of the corner pixels on each other (TensorFlow's DeepLab, Caffe);
            False puts the outer edges of the corner pixels on each other (torchvision, detectron2).

    Returns:
        (N, C, height, width)
    """
    if x.shape[-2:] == size:
        return x
    if x.shape[-2:] == (1, 1):
        return x.expand(-1, -1, *size)
    return F.interpolate(x, size=size, mode="bilinear", align_corners=align_corners)


def rescale(x: Tensor, factor: float) -> Tensor:
    """Resize bilinearly to floor(factor x size), at least 1, outer edges on each other.

    The steps between the samples are 1 / factor whatever the sizes, as PyTorch's `scale_factor`: where the size is no
    whole number, the last edges do not meet.

    Returns:
        (N, C, floor(factor * h), floor(factor * w)), float
    """
    height, width = x.shape[-2:]
    if factor == 1:
        return x
    if min(height, width) * factor < 1:
        return resize(x, (max(1, int(height * factor)), max(1, int(width * factor))), align_corners=False)
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False, recompute_scale_factor=False)
