"""From an image to the input of a backbone: normalised, and padded to the grid of the output stride."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deeplab.errors import ImageError


class Prepare(nn.Module):
    """Subtract the mean, divide by the standard deviation, pad the bottom and the right to k * stride + 1.

    At k * stride + 1 pixels the samples of every stage lie on multiples of its stride, corner on corner, so that a
    corner-aligned resize puts each of them back where it was computed; official crops are 513, 769, 1025 x 2049
    for that reason. Padding is with the mean. `stride` 1 pads nothing.

    Shape: (N, C, H, W) -> (N, C, H', W'), where (H', W') = `grid_size((H, W))`

    Raises:
        ImageError: What came is no such batch of floats.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float], *, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(-1, 1, 1))

    def grid_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The smallest (height, width) of the form k * stride + 1 that holds `size`."""
        height, width = (length + (1 - length) % self.stride for length in size)
        return height, width

    def forward(self, image: Tensor) -> Tensor:
        channels = len(self.mean)
        if image.ndim != 4 or image.shape[1] != channels or not image.is_floating_point():
            raise ImageError(
                f"images wanted as floats in 0..1, (N, {channels}, H, W); came {image.dtype} {tuple(image.shape)}; "
                "of bytes (N, H, W, C) it is images.permute(0, 3, 1, 2).float() / 255"
            )
        height, width = image.shape[-2:]
        grid_height, grid_width = self.grid_size((height, width))
        image = (image - self.mean) / self.std
        if (grid_height, grid_width) == (height, width):
            return image
        return F.pad(image, (0, grid_width - width, 0, grid_height - height))
