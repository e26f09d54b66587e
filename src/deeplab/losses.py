"""Training losses over logits (N, num_classes, H, W)."""

from __future__ import annotations

from functools import partial

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
    hard_pixels: float = 1.0,
) -> Tensor:
    """Cross entropy as in the official code: sum(weight x loss) / number of counted pixels; 0 when none.

    With `hard_pixels` below 1 only that share of all pixels, at least one, is counted: those of the largest loss,
    without those whose loss is 0, such as the ignored ones.

    Args:
        logits: Float (N, num_classes, H, W).
        labels: Integer (N, H, W); pixels equal to `ignore_index` are not counted.
        class_weights: Float (num_classes,).
        label_smoothing: Share of the target that is spread over all classes, 0 .. 1.
        hard_pixels: Above 0, at most 1; a share of all pixels, the ignored ones too (`top_k_percent_pixels` there).
    """
    target = labels.long()
    loss = partial(
        functional.cross_entropy,
        logits.float(),
        target,
        weight=class_weights,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
    )
    if hard_pixels == 1:
        return loss(reduction="sum") / (target != ignore_index).sum().clamp(min=1)
    per_pixel = loss(reduction="none").flatten()
    hardest = per_pixel.topk(max(1, int(hard_pixels * len(per_pixel)))).values
    return hardest.sum() / (hardest != 0).sum().clamp(min=1)


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
