"""The bilinear resize of tensors, with both conventions of corners."""

from __future__ import annotations

import torch
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
    if not is_traced(x) and x.shape[-2:] == (1, 1):
        return x.expand(-1, -1, *size)
    return F.interpolate(x, size=size, mode="bilinear", align_corners=align_corners)


def rescale(x: Tensor, factor: float, *, align_corners: bool) -> Tensor:
    """Resize bilinearly by a factor, to at least 1 x 1.

    Args:
        x: (N, C, h, w), float.
        align_corners: True gives floor(factor * (length - 1)) + 1 samples from corner to corner, as TensorFlow's
            DeepLab (`scale_dimension`); False gives floor(factor * length) at steps of 1 / factor, as PyTorch's
            `scale_factor`: where that is no whole number, the last edges do not meet.

    Returns:
        (N, C, height, width)
    """
    height, width = x.shape[-2:]
    if factor == 1:
        return x
    if align_corners:
        # sym_int is int, and keeps the length of a traced image open
        size = (torch.sym_int((height - 1) * factor) + 1, torch.sym_int((width - 1) * factor) + 1)
        return resize(x, size, align_corners=True)
    if min(height, width) * factor < 1:
        return resize(x, (max(1, int(height * factor)), max(1, int(width * factor))), align_corners=False)
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False, recompute_scale_factor=False)


def is_traced(x: Tensor) -> bool:
    """Whether a graph is made for any height or width of x, which then is no number and takes no branch of Python."""
    return any(isinstance(length, torch.SymInt) for length in x.shape[-2:])
