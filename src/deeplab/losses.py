"""Training losses over logits (N, num_classes, H, W)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["cross_entropy", "distillation"]


def cross_entropy(
    logits: Tensor,
    labels: Tensor,
    *,
    ignore_index: int = 255,
    class_weights: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross entropy as in the official code: sum(weight x loss) / number of counted pixels; 0 when none.

    Args:
        logits: Float (N, num_classes, H, W).
        labels: Integer (N, H, W); pixels equal to `ignore_index` are not counted.
        class_weights: Float (num_classes,).
        label_smoothing: Share of the target that is spread over all classes, 0 .. 1.
    """
    target = labels.long()
    total = functional.cross_entropy(
        logits.float(),
        target,
        weight=class_weights,
        ignore_index=ignore_index,
        reduction="sum",
        label_smoothing=label_smoothing,
    )
    return total / (target != ignore_index).sum().clamp(min=1)


def distillation(logits: Tensor, probabilities: Tensor, *, inside: Tensor) -> Tensor:
    """Kullback-Leibler divergence from a teacher's `probabilities`, mean over the pixels `inside`, or 0.

    Args:
        logits: Float (N, num_classes, H, W).
        probabilities: Float (N, num_classes, H, W), summing to one over the classes.
        inside: Bool (N, H, W), the pixels that count.
    """
    divergence = functional.kl_div(logits.float().log_softmax(dim=1), probabilities.float(), reduction="none")
    per_pixel = divergence.sum(dim=1)  # (N, H, W)
    return torch.where(inside, per_pixel, 0).sum() / inside.sum().clamp(min=1)
