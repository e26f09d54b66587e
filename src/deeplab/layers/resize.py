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
