"""Focal loss (Lin et al., ICCV 2017, arXiv 1708.02002): pixels that are right already weigh less."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from deeplab.losses._pixels import Divisor, PixelLoss
from deeplab.losses.upsampled import Upsampled

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

__all__ = ["focal"]


def focal(
    logits: Tensor | Upsampled,
    labels: Tensor,
    *,
    gamma: float = 2.0,
    ignore_index: int = 255,
    class_weights: Tensor | None = None,
    hard_pixels: float = 1.0,
    divisor: Divisor = "counted",
    group: ProcessGroup | None = None,
) -> Tensor:
    """The mean over the counted pixels of weight x (1 - p)^gamma x -log(p), p the probability of the true class.

    Equation 5 of the paper, whose alpha is `class_weights`, over the softmax of all classes, where the paper has a
    sigmoid for each. A `gamma` of 0 is cross entropy.

    Args:
        gamma: At least 0; 2 was best in the paper (Table 1b).

    The others, and what is returned, are as in `cross_entropy`.
    """
    loss = PixelLoss(
        ignore_index=ignore_index,
        class_weights=class_weights,
        hard_pixels=hard_pixels,
        divisor=divisor,
        group=group,
        gamma=gamma,
    )
    return loss(logits, labels)
