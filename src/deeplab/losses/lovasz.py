"""Lovász-softmax (Berman et al., CVPR 2018, arXiv 1705.08790): the intersection over union itself, made smooth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from deeplab.losses._processes import gathered, total
from deeplab.losses.upsampled import Upsampled, full_size

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

__all__ = ["lovasz"]


def lovasz(
    logits: Tensor | Upsampled, labels: Tensor, *, ignore_index: int = 255, group: ProcessGroup | None = None
) -> Tensor:
    """The Lovász extension of 1 - IoU, the mean over the classes that occur (section 3); 0 when none does.

    Of each class it sorts the errors of all counted pixels of the batch, so that the full-size logits are made. A class
    that no counted pixel of the batch has is left out of the mean, as in the authors' code ("present").

    Args:
        logits: Float (N, num_classes, H, W), or upsampled to it.
        labels: Integer (N, H, W); pixels equal to `ignore_index` are not counted.
        group: The processes that have a share of the batch each (see `cross_entropy`); each sorts the errors of all.

    Returns:
        A number, float32, or float64 where the logits are.
    """
    probabilities = full_size(logits).softmax(dim=1)
    counted = labels != ignore_index
    target = labels[counted].long()  # (P,)
    pixels = total(torch.bincount(target, minlength=probabilities.shape[1]), group)
    extensions = []
    for index in pixels.nonzero().flatten().tolist():
        truth = target == index
        errors = (truth.to(probabilities.dtype) - probabilities[:, index][counted]).abs()
        extensions.append((errors * _rise(errors, truth, room=labels.numel(), group=group)).sum())
    if not extensions:
        return 0 * probabilities.sum()
    return total(torch.stack(extensions).mean(), group)


def _rise(errors: Tensor, truth: Tensor, *, room: int, group: ProcessGroup | None) -> Tensor:
    """What the Jaccard loss of one class rises by at each error, in the order of all processes' errors; (P,) each.

    Adding the errors one by one, the largest first, a missed pixel of the class takes 1 from the intersection and
    leaves the union; any other adds 1 to the union. What the loss rises by is written so that nothing cancels, where
    the authors' code takes differences of neighbours (Algorithm 1). The sum of error x rise is the Lovász extension.

    Args:
        truth: The pixels of the class.
        room: No process has more errors.
    """
    absent = (0, 0 if group is None else room - len(errors))
    everywhere, here = gathered(functional.pad(errors, absent, value=-1.0), group)  # after all errors
    missed = gathered(functional.pad(truth, absent), group)[0].flatten()
    pixels = missed.sum()
    order = everywhere.flatten().argsort(descending=True)
    missed = missed[order]
    intersection = (pixels - missed.cumsum(dim=0)).to(errors.dtype)  # after the pixel
    union = (pixels + (~missed).cumsum(dim=0)).to(errors.dtype)
    rise = torch.where(missed, 1, intersection / (union - 1).clamp(min=1)) / union
    return torch.empty_like(rise).scatter_(0, order, rise).view_as(everywhere)[here, : len(errors)]
