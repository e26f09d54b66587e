"""Dice loss (Milletari et al., V-Net, 3DV 2016, arXiv 1606.04797, section 3), the mean over classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from deeplab.losses._processes import total
from deeplab.losses.upsampled import Strip, Strips, Upsampled, at_least_float32

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

__all__ = ["dice"]


def dice(
    logits: Tensor | Upsampled, labels: Tensor, *, ignore_index: int = 255, group: ProcessGroup | None = None
) -> Tensor:
    """1 - 2 sum(p g) / (sum(p^2) + sum(g^2)), the mean over the classes that occur; 0 when none does.

    p is the probability of the class and g 1 where it is the true one, else 0; the sums are over the counted pixels
    of the whole batch. Squares in the denominator are the paper's form. A class that no counted pixel of the batch
    has is left out of the mean, so that it is neither learned nor unlearned by this loss.

    Args:
        logits: Float (N, num_classes, H, W), or upsampled to it.
        labels: Integer (N, H, W); pixels equal to `ignore_index` are not counted.
        group: The processes that have a share of the batch each (see `cross_entropy`).

    Returns:
        A number, float32, or float64 where the logits are.
    """
    counted = labels != ignore_index
    target = labels.long().where(counted, 0)
    if isinstance(logits, Upsampled):
        overlap, squares = _SumsInStrips.apply(logits.coarse, logits, target, counted)
    else:
        probabilities = at_least_float32(logits).softmax(dim=1) * counted[:, None]
        classes = torch.arange(logits.shape[1], device=logits.device)[:, None, None]
        overlap = probabilities.where(target[:, None] == classes, 0).sum(dim=(0, 2, 3))  # (num_classes,)
        squares = probabilities.square().sum(dim=(0, 2, 3))
    pixels = total(torch.bincount(target[counted], minlength=len(overlap)), group)
    overlap, squares = total(overlap, group), total(squares, group)
    present = pixels > 0
    scores: Tensor = 2 * overlap / (squares + pixels).where(present, 1)
    return (1 - scores).where(present, 0).sum() / present.sum().clamp(min=1)


class _SumsInStrips(torch.autograd.Function):
    """Of upsampled logits the sums of p g and of p^2 over the counted pixels, (num_classes,) each."""

    @staticmethod
    def forward(
        ctx: Any, coarse: Tensor, upsampled: Upsampled, target: Tensor, counted: Tensor
    ) -> tuple[Tensor, Tensor]:
        ctx.upsampled = upsampled
        ctx.save_for_backward(target, counted)
        num_classes = coarse.shape[1]
        overlaps, squares = [], []
        strips = Strips(upsampled)
        for strip in strips:
            p, right, true = _probabilities(strip, target, counted)
            of_class = true.new_zeros(num_classes, dtype=p.dtype)
            overlaps.append(of_class.index_add(0, true.flatten(), right.flatten()))
            squares.append(p.square().sum(dim=(0, 1, 3)))
        return torch.stack(overlaps).sum(dim=0), torch.stack(squares).sum(dim=0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_overlap: Tensor, of_squares: Tensor) -> tuple[Tensor | None, ...]:
        """With a and b the gradients of the two sums, that of p is a g + 2 b p, which goes back through the softmax."""
        target, counted = ctx.saved_tensors
        strips = Strips(ctx.upsampled)
        gradient = strips.zeros()
        for strip in strips:
            p, right, true = _probabilities(strip, target, counted)
            of_right = of_overlap[true]  # (n, rows, 1, W)
            of_p = 2 * of_squares[:, None] * p
            mean = (of_p * p).sum(dim=2, keepdim=True) + of_right * right
            of_p -= mean
            of_p.scatter_add_(2, true, of_right)
            strips.add_back(strip, of_p.mul_(p), to=gradient)
        return gradient.transpose(1, 2).to(ctx.upsampled.coarse.dtype), None, None, None


def _probabilities(strip: Strip, target: Tensor, counted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of a strip the probabilities (n, rows, num_classes, W), those of the true classes, and these classes.

    Both latter are (n, rows, 1, W); the probabilities of a pixel that does not count are 0.
    """
    true = target[strip.place][:, :, None]
    p = strip.logits.softmax(dim=2) * counted[strip.place][:, :, None]
    return p, p.gather(2, true), true
