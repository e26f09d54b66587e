"""Cross entropy as in the official code (research/deeplab, utils/train_utils.py), with its hard pixel mining."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from deeplab.losses._pixels import Divisor, PixelLoss
from deeplab.losses.upsampled import Upsampled

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

__all__ = ["cross_entropy"]


def cross_entropy(
    logits: Tensor | Upsampled,
    labels: Tensor,
    *,
    ignore_index: int = 255,
    class_weights: Tensor | None = None,
    label_smoothing: float = 0.0,
    hard_pixels: float = 1.0,
    divisor: Divisor = "counted",
    group: ProcessGroup | None = None,
) -> Tensor:
    """The sum of weight x -log(probability of the true class), divided by the number of counted pixels; 0 when none.

    With `hard_pixels` below 1 only that share of all pixels, at least one, is counted: those of the largest loss,
    without those whose loss is 0, such as the ignored ones.

    Args:
        logits: Float (N, num_classes, H, W), or upsampled to it.
        labels: Integer (N, H, W); pixels equal to `ignore_index` are not counted.
        class_weights: Float (num_classes,).
        label_smoothing: Share of the target that is spread over all classes, 0 .. 1.
        hard_pixels: Above 0, at most 1; a share of all pixels, the ignored ones too (`top_k_percent_pixels` there).
        divisor: `weights` divides by the sum of the counted pixels' weights instead, as PyTorch does; `all` by the
            number of all pixels, the ignored ones too, or of the hard ones with `hard_pixels`, as detectron2 does.
        group: The processes that have a share of the batch each, of one size: the loss is that of all of it, the same
            number in each process, and the mean of their gradients, as DistributedDataParallel takes it, is that of it.

    Returns:
        A number, float32, or float64 where the logits are.
    """
    loss = PixelLoss(
        ignore_index=ignore_index,
        class_weights=class_weights,
        hard_pixels=hard_pixels,
        divisor=divisor,
        group=group,
        label_smoothing=label_smoothing,
    )
    return loss(logits, labels)
