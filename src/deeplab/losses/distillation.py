"""Distillation (Hinton et al. 2015, arXiv 1503.02531, section 2): a teacher's probabilities as targets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from deeplab.losses._processes import total

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

__all__ = ["distillation"]


def distillation(logits: Tensor, probabilities: Tensor, *, inside: Tensor, group: ProcessGroup | None = None) -> Tensor:
    """Kullback-Leibler divergence from a teacher's `probabilities`, mean over the pixels `inside`, or 0.

    Args:
        logits: Float (N, num_classes, H, W).
        probabilities: Float (N, num_classes, H, W), summing to one over the classes.
        inside: Bool (N, H, W), the pixels that count.
        group: The processes that have a share of the batch each (see `cross_entropy`).
    """
    divergence = functional.kl_div(logits.float().log_softmax(dim=1), probabilities.float(), reduction="none")
    per_pixel = divergence.sum(dim=1)  # (N, H, W)
    return total(torch.where(inside, per_pixel, 0).sum(), group) / total(inside.sum(), group).clamp(min=1)
