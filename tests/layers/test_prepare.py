from __future__ import annotations

import pytest
import torch

from deeplab.errors import ImageError
from deeplab.layers import Prepare


@pytest.mark.parametrize(("length", "padded"), [(1, 1), (2, 17), (16, 17), (17, 17), (18, 33), (480, 481), (513, 513)])
def test_the_grid_is_k_times_the_stride_plus_one(length, padded):
    assert Prepare([0.5], [0.5], stride=16).grid_size((length, length)) == (padded, padded)


def test_stride_one_pads_nothing():
    assert Prepare([0.5], [0.5], stride=1).grid_size((7, 8)) == (7, 8)


def test_padding_is_the_mean_and_lies_after_the_image():
    prepared = Prepare([0.5], [0.25], stride=4)(torch.ones(1, 1, 3, 5))
    assert prepared.shape == (1, 1, 5, 5)
    assert (prepared[0, 0, :3] == 2).all()  # (1 - 0.5) / 0.25
    assert (prepared[0, 0, 3:] == 0).all()


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(1, 3, 4, 4, dtype=torch.uint8),
        torch.zeros(1, 3, 4, 4, dtype=torch.int64),
        torch.zeros(1, 4, 4, 4),
        torch.zeros(1, 4, 4, 3),
    ],
)
def test_what_is_no_batch_of_floats_is_refused(images):
    with pytest.raises(ImageError, match=r"images wanted as floats in 0\.\.1, \(N, 3, H, W\); came torch\."):
        Prepare([0.5] * 3, [0.5] * 3, stride=1)(images)
