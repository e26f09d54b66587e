"""Logits of every pixel that are never made: coarse ones, and how they spread over the image.

At 150 classes and 513 x 513 the logits of a batch of 16 are 2.5 GB, and cross entropy holds them several times over.
Bilinear resizing is linear along each side, so a few rows of the image are made of a few coarse rows, looked at while
they are in the cache, and what comes back is their gradient at the coarse logits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from deeplab.layers import resize

__all__ = ["Strip", "Strips", "Upsampled", "at_least_float32", "full_size"]

STRIP_ELEMENTS = {"cpu": 2**20}
"""Logits of a strip by the kind of device: on a CPU few enough to stay in the cache ..."""

STRIP_ELEMENTS_ELSEWHERE = 2**25
"""... and elsewhere enough to keep it busy: 128 MB."""


@dataclass(frozen=True, eq=False)
class Upsampled:
    """Coarse logits (N, num_classes, h, w), float, in the place of those of an image of `size` = (height, width).

    They spread over `grid_size`, of which the image is the top left (see `SegmentationModel.full_size`).
    """

    coarse: Tensor
    size: tuple[int, int]
    grid_size: tuple[int, int]
    align_corners: bool


def full_size(logits: Tensor | Upsampled) -> Tensor:
    """The logits (N, num_classes, H, W), at least in float32: for a loss that needs all pixels at once."""
    if isinstance(logits, Tensor):
        return at_least_float32(logits)
    height, width = logits.size
    grid = resize(at_least_float32(logits.coarse), logits.grid_size, align_corners=logits.align_corners)
    return grid[..., :height, :width]


def at_least_float32(x: Tensor) -> Tensor:
    """`x` in float32, or in float64 if it is."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


@dataclass(frozen=True, eq=False)
class Strip:
    """Some rows of some images."""

    place: tuple[slice, slice]
    """The images and the rows, to be taken of labels (N, H, W)."""
    coarse_rows: slice
    """The rows of the coarse logits that they are made of."""
    shares: Tensor
    """What each row has of each of those, (rows, coarse rows)."""
    logits: Tensor
    """(n, rows, num_classes, W); free to be overwritten."""


class Strips:
    """The strips of upsampled logits, one after the other, and their gradients back at the coarse logits.

    Both are products with the weights of `resize`, in the precision that `torch.set_float32_matmul_precision` grants:
    float32, unless somebody has lowered it.
    """

    def __init__(self, upsampled: Upsampled) -> None:
        self.coarse = upsampled.coarse.detach()
        self.dtype = torch.promote_types(self.coarse.dtype, torch.float32)
        height, width = upsampled.size
        grid_height, grid_width = upsampled.grid_size
        self.down, across = (
            _shares(length, grid, align_corners=upsampled.align_corners)[:size]
            for length, grid, size in zip(
                self.coarse.shape[-2:], (grid_height, grid_width), (height, width), strict=True
            )
        )
        self.across = across.to(self.dtype).to(self.coarse.device)  # (W, w)

    def __iter__(self) -> Iterator[Strip]:
        images, num_classes = self.coarse.shape[:2]
        height, width = len(self.down), len(self.across)
        wanted = STRIP_ELEMENTS.get(self.coarse.device.type, STRIP_ELEMENTS_ELSEWHERE)
        at_once = min(images, max(1, wanted // (height * num_classes * width)))
        rows = min(height, max(1, wanted // (at_once * num_classes * width)))
        bands = [self._band(slice(top, min(top + rows, height))) for top in range(0, height, rows)]
        for first in range(0, images, at_once):
            some = slice(first, min(first + at_once, images))
            coarse = self.coarse[some].to(self.dtype).transpose(1, 2)  # (n, h, num_classes, w)
            for band, coarse_rows, shares in bands:
                with torch.autocast(coarse.device.type, enabled=False):
                    wide = torch.matmul(coarse[:, coarse_rows], self.across.T)  # (n, coarse rows, num_classes, W)
                    logits = torch.matmul(shares, wide.flatten(2)).view(len(wide), -1, num_classes, width)
                yield Strip((some, band), coarse_rows, shares, logits)

    def zeros(self) -> Tensor:
        """Where the gradients of strips add up: (N, h, num_classes, w)."""
        images, num_classes, height, width = self.coarse.shape
        return self.across.new_zeros(images, height, num_classes, width)

    def add_back(self, strip: Strip, gradient: Tensor, *, to: Tensor) -> None:
        """Add the gradient (n, rows, num_classes, W) of a strip's logits to what `zeros` began."""
        with torch.autocast(gradient.device.type, enabled=False):
            tall = torch.matmul(strip.shares.T, gradient.flatten(2)).view(len(gradient), -1, *gradient.shape[2:])
            to[strip.place[0], strip.coarse_rows] += torch.matmul(tall, self.across)

    def _band(self, rows: slice) -> tuple[slice, slice, Tensor]:
        """These rows of the image, the coarse ones they are made of, and how much of each."""
        shares = self.down[rows]
        used = shares.any(dim=0).nonzero()
        coarse_rows = slice(int(used[0]), int(used[-1]) + 1)
        return rows, coarse_rows, shares[:, coarse_rows].to(self.dtype).to(self.coarse.device)


def _shares(length: int, size: int, *, align_corners: bool) -> Tensor:
    """What each of `size` resized samples has of each of `length`: float64 (size, length), what `resize` says."""
    units = torch.eye(length, dtype=torch.float64)[None, :, None]  # (1, length, 1, length)
    return resize(units, (1, size), align_corners=align_corners)[0, :, 0].T
