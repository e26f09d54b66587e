"""The label map by Triton, apart from what calls it because Triton comes with PyTorch for CUDA alone."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl
from torch import Tensor

__all__ = ["fill_by_triton"]

Axis = tuple[Tensor, Tensor, Tensor]
"""`TapsThere`: lower, upper, fraction."""

BLOCK = 256
"""Pixels of a row that a program of the GPU works on; in most of them no cell is disputed."""


def fill_by_triton(labels: Tensor, pixels: Tensor, winners: Tensor, down: Axis, across: Axis) -> None:
    """As `fill`, to the last bit: products are not fused with sums."""
    height, width = labels.shape
    if not labels.numel():
        return
    _fill[height, triton.cdiv(width, BLOCK)](
        labels, pixels, winners, *down, *across, width, *pixels.shape[1:], BLOCK=BLOCK, enable_fp_fusion=False
    )


@triton.jit  # type: ignore[untyped-decorator]
def _fill(
    labels: Any,
    pixels: Any,
    winners: Any,
    lower_row: Any,
    upper_row: Any,
    row_fraction: Any,
    lower_column: Any,
    upper_column: Any,
    column_fraction: Any,
    width: Any,
    coarse_width: Any,
    num_classes: Any,
    BLOCK: tl.constexpr,
) -> None:
    row = tl.program_id(0).to(tl.int64)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = columns < width
    top, bottom = tl.load(lower_row + row).to(tl.int64), tl.load(upper_row + row).to(tl.int64)
    f = tl.load(row_fraction + row)
    left = tl.load(lower_column + columns, mask=inside, other=0)
    label = tl.load(winners + top * coarse_width + left, mask=inside, other=0)
    disputed = inside & (label == num_classes)
    if tl.max(disputed.to(tl.int32), axis=0) > 0:
        right = tl.load(upper_column + columns, mask=inside, other=0)
        g = tl.load(column_fraction + columns, mask=inside, other=0.0)
        top_left = pixels + (top * coarse_width + left) * num_classes
        top_right = pixels + (top * coarse_width + right) * num_classes
        bottom_left = pixels + (bottom * coarse_width + left) * num_classes
        bottom_right = pixels + (bottom * coarse_width + right) * num_classes
        best = tl.zeros([BLOCK], tl.int32)
        highest = tl.full([BLOCK], float("-inf"), tl.float32)
        for candidate in range(num_classes):
            upper = (1 - g) * tl.load(top_left + candidate, mask=disputed, other=0.0) + g * tl.load(
                top_right + candidate, mask=disputed, other=0.0
            )
            lower = (1 - g) * tl.load(bottom_left + candidate, mask=disputed, other=0.0) + g * tl.load(
                bottom_right + candidate, mask=disputed, other=0.0
            )
            value = (1 - f) * upper + f * lower
            best = tl.where(value > highest, candidate, best)
            highest = tl.where(value > highest, value, highest)
        label = tl.where(disputed, best, label)
    tl.store(labels + row * width + columns, label.to(labels.dtype.element_ty), mask=inside)
