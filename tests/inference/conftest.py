import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deeplab.checkpoints import Checkpoint, Preprocessing
from deeplab.images import color_map


class LocalNetwork(nn.Module):
    """Scores of a pixel from its own colour, on a coarse grid; purely local, and symmetric."""

    def __init__(self, *, num_classes=4, stride=4, align_corners=False, seed=0):
        super().__init__()
        self.stride, self.align_corners = stride, align_corners
        self.arguments = {"in_channels": 3}
        self.calls = []
        weight = torch.randn(num_classes, 3, 1, 1, generator=torch.Generator().manual_seed(seed)) * 8
        self.register_buffer("weight", weight)

    def grid_size(self, size):
        if self.align_corners:
            return tuple(length + (1 - length) % self.stride for length in size)
        return tuple(length + -length % self.stride for length in size)

    def coarse_logits(self, image):
        self.calls.append(tuple(image.shape))
        height, width = image.shape[-2:]
        grid_height, grid_width = self.grid_size((height, width))
        image = F.pad(image, (0, grid_width - width, 0, grid_height - height), mode="replicate")
        coarse = image[..., :: self.stride, :: self.stride] if self.align_corners else F.avg_pool2d(image, self.stride)
        return F.conv2d(coarse - 0.5, self.weight)

    def forward(self, image):
        height, width = image.shape[-2:]
        full = F.interpolate(
            self.coarse_logits(image),
            size=self.grid_size((height, width)),
            mode="bilinear",
            align_corners=self.align_corners,
        )
        return full[..., :height, :width]


@pytest.fixture
def local_network():
    return LocalNetwork


@pytest.fixture
def make_checkpoint():
    """`make_checkpoint(network=None, num_classes=4, long_side=None)`: of a `LocalNetwork` if none."""

    def make(network=None, *, num_classes=4, long_side=None):
        classes = tuple(f"class {index}" for index in range(num_classes))
        return Checkpoint(
            network or LocalNetwork(num_classes=num_classes),
            classes,
            color_map(num_classes),
            Preprocessing(long_side=long_side),
        )

    return make


@pytest.fixture
def noise():
    """`noise(height, width, seed=0)`: uint8 (height, width, 3), every pixel on its own."""

    def make(height, width, seed=0):
        return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)

    return make
