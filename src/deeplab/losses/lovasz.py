"""Lovász-softmax (Berman et al., CVPR 2018, arXiv 1705.08790): the intersection over union itself, made smooth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

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
    counted = (labels != ignore_index).flatten()
    target = labels.flatten().long()
    pixels = total(torch.bincount(target[counted], minlength=probabilities.shape[1]), group)
    present = pixels.nonzero().flatten()
    if not len(present):
        return 0 * probabilities.sum()
    truth = (target == present[:, None]) & counted  # (present classes, pixels), and so are the next
    errors = (truth.to(probabilities.dtype) - probabilities.transpose(0, 1).flatten(1)[present]).abs()
    rises = torch.empty_like(errors)
    for error, missed, rise in zip(errors.detach(), truth, rises, strict=True):
        rise[:] = _rise(error.masked_fill(~counted, -1), missed, group=group)
    return total((errors * rises.masked_fill_(~counted, 0)).sum() / len(present), group)


def _rise(errors: Tensor, truth: Tensor, *, group: ProcessGroup | None) -> Tensor:
    """What the Jaccard loss of one class rises by at each error, in the order of all processes' errors; (P,) each.

    Adding the errors one by one, the largest first, a missed pixel of the class takes 1 from the intersection and
    leaves the union; any other adds 1 to the union. What the loss rises by is written so that nothing cancels, where
    the authors' code takes differences of neighbours (Algorithm 1). The sum of error x rise is the Lovász extension.

    Args:
        errors: Those of pixels that are not counted are -1, and come after all.
        truth: The pixels of the class.
    """
    everywhere, here = gathered(errors, group)
    missed = gathered(truth, group)[0].flatten()
    least = everywhere.flatten().where(missed, torch.inf).min()
    # after these the intersection is empty: no rise; where the least is no number, all count, and the loss is none
    counting = (~(everywhere.flatten() < least)).nonzero().flatten()
    order = _largest_first(everywhere.flatten(), counting)
    missed = missed.gather(0, order)
    found = missed.cumsum(dim=0)  # of the class, so far
    intersection = found[-1] - found
    ranks = torch.arange(len(order), device=errors.device)
    before = ranks + intersection  # the union without this pixel, if it is one of another class, and then above 0
    rise = torch.where(missed, 1, intersection.to(errors.dtype) / before) / (before + 1)
    return torch.zeros_like(everywhere).flatten().scatter_(0, order, rise).view_as(everywhere)[here]


def _largest_first(errors: Tensor, places: Tensor) -> Tensor:
    """The `places` (k,) of some of the errors (P,), which are in 0 .. 1, by their size.

    On a CPU numpy sorts numbers that hold the bits of an error and its place, in a fifth of the time of argsort: the
    bits of floats that are not negative compare as these do.
    """
    errors = errors[places]
    if errors.device.type != "cpu" or errors.dtype != torch.float32:
        return places[errors.argsort(descending=True)]
    both = errors.view(torch.int32).long()
    both <<= 32
    both |= places
    return torch.from_numpy(np.sort(both.numpy())).flip(0).bitwise_and_(2**32 - 1)
