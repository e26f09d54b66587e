"""The dense prediction cell, found by search, in ASPP's place (Chen et al., NeurIPS 2018, arXiv 1809.04184)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deeplab.errors import SettingsError
from deeplab.layers.aspp import EPS, MOMENTUM
from deeplab.layers.conv import Activation, ConvNormAct, SeparableConv
from deeplab.layers.resize import resize

CITYSCAPES = (
    {"op": "conv", "kernel": 3, "rate": (1, 6), "input": -1},
    {"op": "conv", "kernel": 3, "rate": (18, 15), "input": 0},
    {"op": "conv", "kernel": 3, "rate": (6, 3), "input": 1},
    {"op": "conv", "kernel": 3, "rate": (1, 1), "input": 0},
    {"op": "conv", "kernel": 3, "rate": (6, 21), "input": 0},
)
"""The best cell of the paper (Fig. 5), at output stride 16."""


class DensePredictionCell(nn.Module):
    """Branches that read the features or an earlier branch; all of them side by side, dropout, 1 x 1.

    Args:
        cell: A branch each, in the form of the official JSON files. "input" is the number of the branch that it
            reads, -1 the features; "op" is "conv" with "kernel" 1 or 3 and "rate" (rows, columns) at output stride
            16, a separable one for 3, or "pyramid_pooling" with "grid_size" (rows, columns), the mean over windows of
            that share of the features.
        output_stride: Rates are for 16; they double as it halves.
        norm_between: Whether the separable ones are normalised and activated between depthwise and pointwise.

    Shape: (N, in_channels, h, w) -> (N, channels, h, w)

    Raises:
        SettingsError: A branch that is none of these.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        cell: Sequence[Mapping[str, Any]] = CITYSCAPES,
        channels: int = 256,
        output_stride: int = 16,
        norm_between: bool = True,
        act: Activation = "relu",
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if not cell:
            raise SettingsError("dense_prediction_cell wants at least one branch")
        self.inputs = tuple(branch.get("input", -1) for branch in cell)
        if any(not isinstance(source, int) or source >= index for index, source in enumerate(self.inputs)):
            raise SettingsError(f"dense_prediction_cell: a branch reads one before it or -1, got inputs {self.inputs}")
        self.branches = nn.ModuleList(
            _branch(
                in_channels if source < 0 else channels,
                channels,
                branch,
                output_stride=output_stride,
                norm_between=norm_between,
                act=act,
            )
            for branch, source in zip(cell, self.inputs, strict=True)
        )
        self.dropout = nn.Dropout(dropout)
        self.project = ConvNormAct(len(cell) * channels, channels, 1, act=act, eps=EPS, momentum=MOMENTUM)
        self.out_channels = channels

    def forward(self, x: Tensor) -> Tensor:
        outs: list[Tensor] = []
        for branch, source in zip(self.branches, self.inputs, strict=True):
            outs.append(branch(x if source < 0 else outs[source]))
        out: Tensor = self.project(self.dropout(torch.cat(outs, dim=1)))
        return out


class PyramidPooling(nn.Module):
    """The mean over windows of a share of the features, and 1 x 1.

    Shape: (N, in_channels, h, w) -> (N, channels, h, w)
    """

    def __init__(self, in_channels: int, channels: int, grid_size: Sequence[int], *, act: Activation = "relu") -> None:
        super().__init__()
        self.grid_size = tuple(grid_size)
        self.pointwise = ConvNormAct(in_channels, channels, 1, act=act, eps=EPS, momentum=MOMENTUM)

    def forward(self, x: Tensor) -> Tensor:
        height, width = ((length - 1) // share + 1 for length, share in zip(x.shape[-2:], self.grid_size, strict=True))
        pooled = self.pointwise(F.avg_pool2d(x, (height, width), stride=1))
        return resize(pooled, (x.shape[-2], x.shape[-1]), align_corners=True)


def _branch(
    in_channels: int,
    channels: int,
    branch: Mapping[str, Any],
    *,
    output_stride: int,
    norm_between: bool,
    act: Activation,
) -> nn.Module:
    layer: dict[str, Any] = {"act": act, "eps": EPS, "momentum": MOMENTUM}
    match branch:
        case {"op": "conv", "kernel": 1 | [1, 1]}:
            return ConvNormAct(in_channels, channels, 1, **layer)
        case {"op": "conv", "kernel": 3 | [3, 3], "rate": [int(rows), int(columns)]}:
            rates = (max(1, rows * 16 // output_stride), max(1, columns * 16 // output_stride))
            return SeparableConv(in_channels, channels, dilation=rates, norm_between=norm_between, **layer)
        case {"op": "pyramid_pooling", "grid_size": [int(rows), int(columns)]} if min(rows, columns) > 0:
            return PyramidPooling(in_channels, channels, (rows, columns), act=act)
        case _:
            raise SettingsError(
                "dense_prediction_cell: wanted op 'conv' with kernel 1 or 3 and rate, or 'pyramid_pooling' with "
                f"grid_size, got {dict(branch)}"
            )
