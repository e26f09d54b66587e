"""Random variations of a training sample: scale, crop, flip, colour (DeepLab v3, arXiv 1706.05587, 4.1).

Everything random is drawn from the generator that is passed in, so that a sample depends on its seed alone
and not on the number of worker processes. Scale and crop are one step: the window that becomes the crop is
cut from the source and resized once, so the cost follows the crop and not the scaled image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn.functional import grid_sample
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

__all__ = ["Augmentation", "TrainingSample", "photometric"]


class TrainingSample(NamedTuple):
    """What a training step sees of one image."""

    image: Tensor
    """uint8 (3, H, W), padded with `Augmentation.fill`."""
    labels: Tensor
    """(H, W), padded with the ignored label."""
    inside: Tensor
    """bool (H, W): false in the padding."""
    probabilities: Tensor | None = None
    """float (num_classes, h, w) of a teacher over the same region, coarser; meaningless in the padding."""


@dataclass(frozen=True)
class Augmentation:
    """Scale, crop, colour and flip a sample at random; a scaled image smaller than the crop gets padding."""

    size: tuple[int, int]
    """(height, width) of the crop in pixels."""
    scale: tuple[float, float]
    """Range of the scale factor, uniform."""
    fill: tuple[float, ...]
    """Colour of the padding, 0..255: the mean that the model subtracts."""
    ignore_index: int
    photometric: bool = True
    flip: bool = True
    scale_step: float = 0.0
    """Steps between the scale factors, from the least; 0: any of the range."""
    probabilities_stride: int = 4
    """A teacher's probabilities come out at the crop's size divided by this, rounded up."""

    def __call__(
        self,
        image: Tensor,
        labels: Tensor,
        probabilities: Tensor | None = None,
        *,
        centre: tuple[int, int] | None = None,
        generator: Generator,
    ) -> TrainingSample:
        """Cut one crop.

        Args:
            image: uint8 (3, H, W), a view of an array (H, W, 3): of another order in memory PyTorch 2.15 does
                not resize to a single pixel.
            labels: (H, W), any integer type that indexing takes.
            probabilities: float (num_classes, h, w) over the whole image, at any resolution.
            centre: (row, column) of the pixel in the middle of the crop, as far as the crop stays in the image; None:
                anywhere.
            generator: Where the randomness comes from.
        """
        height, width = image.shape[-2:]
        scale = self._draw_scale(generator)
        row, column = (None, None) if centre is None else centre
        rows = _Window.draw(height, self.size[0], scale, generator, middle=row)
        columns = _Window.draw(width, self.size[1], scale, generator, middle=column)

        image = _shown(image, rows, columns, self.size, InterpolationMode.BILINEAR)
        if self.photometric:
            image = photometric(image, generator=generator)
        image = _padded(image, rows, columns, self.size, self.fill)
        labels = _shown(labels[None], rows, columns, self.size, InterpolationMode.NEAREST_EXACT)
        labels = _padded(labels, rows, columns, self.size, (self.ignore_index,))[0]
        inside = torch.zeros(self.size, dtype=torch.bool)
        inside[slice(*rows.target(self.size[0])), slice(*columns.target(self.size[1]))] = True
        if probabilities is not None:
            height, width = (math.ceil(length / self.probabilities_stride) for length in self.size)
            grid = torch.stack(torch.meshgrid(columns.grid(width), rows.grid(height), indexing="xy"), dim=-1)
            probabilities = grid_sample(
                probabilities[None].float(), grid[None], padding_mode="border", align_corners=False
            )[0]
        if self.flip and _uniform(generator) < 0.5:
            image, labels, inside = image.flip(-1), labels.flip(-1), inside.flip(-1)
            probabilities = probabilities.flip(-1) if probabilities is not None else None
        return TrainingSample(image, labels, inside, probabilities)

    def _draw_scale(self, generator: Generator) -> float:
        low, high = self.scale
        if self.scale_step == 0:
            return low + (high - low) * _uniform(generator)
        count = math.floor((high - low) / self.scale_step + 1e-6) + 1
        return low + self.scale_step * math.floor(count * _uniform(generator))


def photometric(image: Tensor, *, generator: Generator, strength: float = 0.3) -> Tensor:
    """Vary brightness, contrast, saturation and hue of a uint8 (3, H, W) RGB image.

    All four are linear in RGB, so that they are one matrix and one offset for each image: brightness and
    contrast scale by 1 +- `strength`, saturation likewise around the grey value, and the hue turns by up to
    0.6 x `strength` radians around the grey axis.
    """
    brightness, contrast, saturation = (1 + strength * (2 * _uniform(generator) - 1) for _ in range(3))
    angle = 0.6 * strength * (2 * _uniform(generator) - 1)
    grey = torch.full((3, 3), 1 / 3)
    # Rodrigues' rotation about (1, 1, 1) / sqrt(3), whose cross-product matrix is `turn`.
    turn = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / math.sqrt(3)
    color = saturation * (math.cos(angle) * (torch.eye(3) - grey) + math.sin(angle) * turn)
    matrix = brightness * contrast * (color + grey)
    pixels = image.flatten(1).float()  # (3, H * W)
    mean = brightness * pixels.mean()
    varied = torch.addmm(((1 - contrast) * mean).expand(3, 1), matrix, pixels)
    return varied.round_().clamp_(0, 255).to(torch.uint8).view_as(image)


class _Window(NamedTuple):
    """A stretch of one image axis, in source pixels; it may reach beyond the image on either side."""

    start: int
    length: int
    total: int

    @classmethod
    def draw(cls, total: int, size: int, scale: float, generator: Generator, *, middle: int | None = None) -> _Window:
        """The window that shows `size` pixels of an axis of `total` pixels at `scale`, anywhere along it.

        Or with the pixel `middle` in its middle, as far as the window then lies in the image, or the image in it.
        """
        length = max(1, round(size / scale))
        low, high = sorted((0, total - length))
        if middle is not None:
            return cls(min(max(middle - length // 2, low), high), length, total)
        return cls(low + math.floor((high - low + 1) * _uniform(generator)), length, total)

    def source(self) -> tuple[int, int]:
        """First and one past the last source pixel that it shows."""
        return max(self.start, 0), min(self.start + self.length, self.total)

    def target(self, size: int) -> tuple[int, int]:
        """Where those lie in the crop of `size` pixels: at least one pixel."""
        first, last = (round((edge - self.start) * size / self.length) for edge in self.source())
        first = min(first, size - 1)
        return first, max(last, first + 1)

    def grid(self, size: int) -> Tensor:
        """Centres of `size` equal steps, float (size,); -1 .. 1 spans the image, edge to edge."""
        return 2 * (self.start + (torch.arange(size) + 0.5) * self.length / size) / self.total - 1


def _shown(
    part: Tensor, rows: _Window, columns: _Window, size: tuple[int, int], interpolation: InterpolationMode
) -> Tensor:
    """(C, H, W) -> (C, h, w): what the windows show of it, at the scale of a crop of `size`."""
    (top, bottom), (left, right) = rows.target(size[0]), columns.target(size[1])
    source = part[:, slice(*rows.source()), slice(*columns.source())]
    shown: Tensor = functional.resize(source, [bottom - top, right - left], interpolation, antialias=True)
    return shown


def _padded(shown: Tensor, rows: _Window, columns: _Window, size: tuple[int, int], fill: tuple[float, ...]) -> Tensor:
    """(C, h, w) -> (C, *size), with `fill` around what the windows show."""
    (top, bottom), (left, right) = rows.target(size[0]), columns.target(size[1])
    margins = [left, top, size[1] - right, size[0] - bottom]
    padded: Tensor = functional.pad(shown, margins, fill=list(fill))
    return padded


def _uniform(generator: Generator) -> float:
    """A number in 0 .. 1, one excluded."""
    return torch.rand((), generator=generator).item()
