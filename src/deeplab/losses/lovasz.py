"""Lovász-softmax (Berman et al., CVPR 2018, arXiv 1705.08790): the intersection over union itself, made smooth."""

from __future__ import annotations

import torch
from torch import Tensor

from deeplab.losses.upsampled import Upsampled, full_size

__all__ = ["lovasz"]


def lovasz(logits: Tensor | Upsampled, labels: Tensor, *, ignore_index: int = 255) -> Tensor:
    """The Lovász extension of 1 - IoU, the mean over the classes that occur (section 3); 0 when none does.

    Of each class it sorts the errors of all counted pixels of the batch, so that the full-size logits are made. A class
    that no counted pixel of the batch has is left out of the mean, as in the authors' code ("present").

    Args:
        logits: Float (N, num_classes, H, W), or upsampled to it.
        labels: Integer (N, H, W); pixels equal to `ignore_index` are not counted.

    Returns:
        A number, float32, or float64 where the logits are.
    """
    probabilities = full_size(logits).softmax(dim=1)
    counted = labels != ignore_index
    target = labels[counted].long()  # (P,)
    extensions = [
        _extension(probabilities[:, index][counted], target == index) for index in torch.unique(target).tolist()
    ]
    if not extensions:
        return 0 * probabilities.sum()
    return torch.stack(extensions).mean()


def _extension(probability: Tensor, truth: Tensor) -> Tensor:
    """The Lovász extension of the Jaccard loss of one class, whose pixels are those of `truth`; (P,) each.

    Adding the errors one by one, the largest first, a missed pixel of the class takes 1 from the intersection and
    leaves the union; any other adds 1 to the union. What the loss rises by is written so that nothing cancels, where
    the authors' code takes differences of neighbours (Algorithm 1).
    """
    errors, order = (truth.to(probability.dtype) - probability).abs().sort(descending=True)
    missed = truth[order]
    pixels = truth.sum()
    intersection = (pixels - missed.cumsum(dim=0)).to(errors.dtype)  # after the pixel
    union = (pixels + (~missed).cumsum(dim=0)).to(errors.dtype)
    rise = torch.where(missed, 1, intersection / (union - 1).clamp(min=1)) / union
    return (errors * rise).sum()
