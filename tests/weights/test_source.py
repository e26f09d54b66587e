from __future__ import annotations

import pytest
import torch
from torch import nn

from deeplab.errors import CheckpointError
from deeplab.weights._source import fill


@pytest.mark.parametrize(
    ("bias", "problem"),
    [
        (torch.zeros(4).to_sparse(), "bias holds float32, wanted plain floats"),
        (torch.zeros(4, dtype=torch.bool), "bias holds bool"),
        (torch.zeros(4, dtype=torch.complex64), "bias holds complex64"),
        (torch.full((4,), -torch.inf, dtype=torch.bfloat16), "bias has values that are not finite"),
    ],
)
def test_a_layer_takes_plain_finite_floats_only(bias, problem):
    with pytest.raises(CheckpointError, match=f"x: {problem}"):
        fill(nn.Conv2d(3, 4, 1), {"weight": torch.zeros(4, 3, 1, 1), "bias": bias}, what="x")
