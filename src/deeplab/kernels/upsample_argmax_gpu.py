"""`upsample_argmax` for logits on a GPU: they stay there, and what comes from it is the label map.

Triton does it pixel by pixel, as PyTorch for CUDA brings it; without it PyTorch's own operations do the same.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deeplab.kernels.taps import Taps, taps
from deeplab.kernels.upsample_argmax import LARGEST

__all__ = ["fill", "sample_argmax_there"]

STRIP = 2**26
"""Scores (pixels x classes) that PyTorch's operations make at a time: bounds their memory."""


class TapsThere(NamedTuple):
    """`Taps` on the device of the logits."""

    lower: Tensor
    """int32."""
    upper: Tensor
    """int32."""
    fraction: Tensor
    """float32."""


@torch.no_grad()
def sample_argmax_there(logits: Tensor, rows: NDArray[np.float64], columns: NDArray[np.float64]) -> Tensor:
    """The labels of `sample_argmax`, made where the logits are.

    Args:
        logits: float32 (num_classes, h, w), on any device.
        rows: As of `sample_argmax`, (H,).
        columns: The same, (W,).

    Returns:
        On the same device, uint8 (H, W), or int32 for more than 256 classes.
    """
    num_classes, height, width = logits.shape
    logits = logits.nan_to_num(nan=-LARGEST, posinf=LARGEST, neginf=-LARGEST)
    pixels = logits.permute(1, 2, 0).contiguous()  # (h, w, C)
    down, across = _there(taps(rows, height), logits.device), _there(taps(columns, width), logits.device)
    dtype = torch.uint8 if num_classes <= 256 else torch.int32
    labels = torch.empty((len(rows), len(columns)), dtype=dtype, device=logits.device)
    if logits.is_cuda and find_spec("triton") is not None:
        from deeplab.kernels._upsample_argmax_triton import fill_by_triton

        with torch.cuda.device(logits.device):  # else Triton takes the current GPU
            fill_by_triton(labels, pixels, _cell_winners(pixels), down, across)
    else:
        fill(labels, pixels, _cell_winners(pixels), down, across)
    return labels


def fill(labels: Tensor, pixels: Tensor, winners: Tensor, down: TapsThere, across: TapsThere) -> None:
    """Put the labels, (H, W), into their place: every pixel of a disputed cell by its definition.

    Args:
        pixels: Logits, (h, w, num_classes).
        winners: By a cell's top left corner, the class on top at all its corners; num_classes where they differ.
    """
    num_classes = pixels.shape[2]
    step = max(1, STRIP // max(1, len(across.lower) * num_classes))
    for start in range(0, len(labels), step):
        strip = TapsThere(*(each[start : start + step] for each in down))
        found = winners[strip.lower][:, across.lower]
        row, column = torch.nonzero(found == num_classes, as_tuple=True)
        top, bottom, f = (each[row] for each in strip)
        left, right, g = (each[column] for each in across)
        f, g = f[:, None], g[:, None]
        upper = (1 - g) * pixels[top, left] + g * pixels[top, right]  # (disputed pixels, C)
        lower = (1 - g) * pixels[bottom, left] + g * pixels[bottom, right]
        found[row, column] = ((1 - f) * upper + f * lower).argmax(dim=1).to(found.dtype)
        labels[start : start + step] = found


def _cell_winners(pixels: Tensor) -> Tensor:
    """(h, w, C) -> int32 (h, w), as `fill` wants them."""
    best = pixels.argmax(dim=2).int()
    below = torch.cat([best[1:], best[-1:]])
    agree = best == below
    for corner in (best, below):
        agree &= best == torch.cat([corner[:, 1:], corner[:, -1:]], dim=1)
    return best.where(agree, pixels.shape[2])


def _there(at: Taps, device: torch.device) -> TapsThere:
    lower, upper = (torch.from_numpy(each.astype(np.int32)).to(device) for each in (at.lower, at.upper))
    return TapsThere(lower, upper, torch.from_numpy(at.fraction).to(device))
