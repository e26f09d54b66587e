"""Losses that are a sum over pixels: what each pixel costs, which of them count, and what the sum is divided by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from deeplab.losses._processes import gathered, processes, total
from deeplab.losses.upsampled import Strip, Strips, Upsampled, at_least_float32

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

__all__ = ["Divisor", "PixelLoss"]

Divisor = Literal["counted", "weights", "all"]
"""The number of counted pixels (the official code), the sum of their classes' weights (PyTorch's `mean`), or the number
of all pixels, the ignored ones too (detectron2, mmsegmentation)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class PixelLoss:
    """What a pixel of class y and probability p costs: weight of y x (1 - p)^gamma x -log(p).

    With `label_smoothing`, which does not go with a `gamma`, that share of -log(p) is replaced by the mean over all
    classes of weight x -log(p). See `cross_entropy` and `focal` for the fields.
    """

    ignore_index: int
    class_weights: Tensor | None
    hard_pixels: float
    divisor: Divisor
    label_smoothing: float = 0.0
    gamma: float = 0.0
    group: ProcessGroup | None = None

    def __call__(self, logits: Tensor | Upsampled, labels: Tensor) -> Tensor:
        """The sum over the counted pixels by the divisor; 0, with a gradient of 0, where no pixel counts."""
        counted = labels != self.ignore_index
        target = labels.long().where(counted, 0)
        if isinstance(logits, Upsampled):
            values, _ = self._in_strips(logits, target) if self.hard_pixels < 1 else (None, None)
            dtype = torch.promote_types(logits.coarse.dtype, torch.float32)
            factors = self._factors(values, target, counted, dtype=dtype)
            coarse = logits.coarse if torch.is_grad_enabled() else logits.coarse.detach()
            share: Tensor = _SumInStrips.apply(coarse, self, logits, target, factors)
            return total(share, self.group)
        values = self._values(at_least_float32(logits), target)
        factors = self._factors(values.detach(), target, counted, dtype=values.dtype)
        return total((values * factors).sum(), self.group)

    def _factors(self, values: Tensor | None, target: Tensor, counted: Tensor, *, dtype: torch.dtype) -> Tensor:
        """By what each pixel is multiplied in the sum, (N, H, W): 1 / divisor, or 0 where it does not count.

        Args:
            values: What each pixel costs; needed where there are `hard_pixels`.
        """
        number = processes(self.group) * target.numel()
        if values is not None and self.hard_pixels < 1:
            number = max(1, int(self.hard_pixels * number))
            values = values.where(counted, 0)
            everywhere, here = gathered(values, self.group)
            hardest = everywhere.flatten().topk(number, sorted=False).indices
            kept = torch.zeros_like(everywhere, dtype=torch.bool).flatten().index_fill(0, hardest, True)
            counted = kept.view_as(everywhere)[here] & (values != 0)
        if self.divisor == "all":
            return counted.to(dtype) / number
        weighted = self.divisor == "weights" and self.class_weights is not None
        divisor = total((self._weights(target, dtype) * counted if weighted else counted).sum(), self.group)
        return counted.to(dtype) / divisor.where(divisor > 0, 1)

    def _weights(self, target: Tensor, dtype: torch.dtype) -> Tensor:
        """The weight of each pixel's class."""
        assert self.class_weights is not None
        return self.class_weights.to(dtype)[target]

    def _values(self, logits: Tensor, target: Tensor) -> Tensor:
        """What each pixel of logits (N, num_classes, H, W) costs, (N, H, W)."""
        weights = None if self.class_weights is None else self.class_weights.to(logits.dtype)
        if self.gamma == 0:
            return functional.cross_entropy(
                logits, target, weight=weights, label_smoothing=self.label_smoothing, reduction="none"
            )
        surprise = functional.cross_entropy(logits, target, reduction="none")
        values = _improbability(surprise) ** self.gamma * surprise
        return values if weights is None else weights[target] * values

    def _in_strips(
        self, upsampled: Upsampled, target: Tensor, factors: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """The same of each pixel of upsampled logits.

        With `factors` also the gradient of the sum of factor x value, (N, h, num_classes, w).
        """
        strips = Strips(upsampled)
        gradient = None if factors is None else strips.zeros()
        values = torch.empty(target.shape, dtype=strips.dtype, device=target.device)
        for strip in strips:
            values[strip.place] = self._of_strip(strip, target, factors)
            if gradient is not None:
                strips.add_back(strip, strip.logits, to=gradient)
        return values, gradient

    def _of_strip(self, strip: Strip, target: Tensor, factors: Tensor | None) -> Tensor:
        """The same of each pixel of a strip, (n, rows, W); with `factors` its logits become their gradient.

        The logits of a pixel less the largest of them are x, and log_total is the logarithm of the sum of exp(x).
        """
        x = strip.logits  # (n, rows, num_classes, W), as everything here up to the last line
        target = target[strip.place][:, :, None]
        x -= x.amax(dim=2, keepdim=True)
        right = x.gather(2, target)
        smoothing = self._smoothing(x)
        evenly = None if smoothing is None else (x * smoothing).sum(dim=2, keepdim=True)
        total = x.exp_().sum(dim=2, keepdim=True)
        log_total = total.log()
        surprise = log_total - right
        values, slope = self._focus(surprise)
        if self.class_weights is not None:
            weights = self._weights(target, x.dtype)
            values, slope = weights * values, weights * slope
        if smoothing is not None and evenly is not None:
            share = 1 - self.label_smoothing
            values = share * values + smoothing.sum() * log_total - evenly
            slope = share * slope
        if factors is not None:
            factor = factors[strip.place][:, :, None]
            pull = factor * slope
            push = pull if smoothing is None else pull + factor * smoothing.sum()
            x *= push / total
            x.scatter_add_(2, target, -pull)
            if smoothing is not None:
                x -= factor * smoothing
        return values[:, :, 0]

    def _focus(self, surprise: Tensor) -> tuple[Tensor, Tensor]:
        """(1 - p)^gamma x -log(p) and its derivative by -log(p), which is `surprise`."""
        if self.gamma == 0:
            return surprise, torch.ones_like(surprise)
        wrong = _improbability(surprise)
        focus = wrong**self.gamma
        return focus * surprise, focus + self.gamma * wrong ** (self.gamma - 1) * (-surprise).exp() * surprise

    def _smoothing(self, x: Tensor) -> Tensor | None:
        """What each class has of the target of every pixel, (num_classes, 1)."""
        if self.label_smoothing == 0:
            return None
        num_classes = x.shape[2]
        weights = x.new_ones(num_classes) if self.class_weights is None else self.class_weights.to(x.dtype)
        return (self.label_smoothing / num_classes * weights)[:, None]


class _SumInStrips(torch.autograd.Function):
    """The sum of factor x value over the pixels of upsampled logits; its gradient is computed along with it."""

    @staticmethod
    def forward(
        ctx: Any, coarse: Tensor, loss: PixelLoss, upsampled: Upsampled, target: Tensor, factors: Tensor
    ) -> Tensor:
        wanted = factors if ctx.needs_input_grad[0] else None
        values, gradient = loss._in_strips(upsampled, target, wanted)
        if gradient is not None:
            ctx.save_for_backward(gradient)
        ctx.dtype = coarse.dtype
        return (values * factors).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_of_sum: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        coarse = (gradient * gradient_of_sum).transpose(1, 2).to(ctx.dtype)  # (N, num_classes, h, w)
        return coarse, None, None, None, None


def _improbability(surprise: Tensor) -> Tensor:
    """1 - p of -log(p), exact for a p near 1, and above 0, so that powers of it have a derivative."""
    return (-torch.expm1(-surprise)).clamp(min=torch.finfo(surprise.dtype).tiny)
