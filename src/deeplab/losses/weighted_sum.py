"""Losses by name, and any weighted sum of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from torch import Tensor

from deeplab.errors import unknown_name
from deeplab.losses._pixels import Divisor
from deeplab.losses.cross_entropy import cross_entropy
from deeplab.losses.dice import dice
from deeplab.losses.focal import focal
from deeplab.losses.lovasz import lovasz
from deeplab.losses.upsampled import Upsampled

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

__all__ = ["weighted_sum"]


def weighted_sum(
    logits: Tensor | Upsampled,
    labels: Tensor,
    *,
    weights: Mapping[str, float],
    ignore_index: int = 255,
    class_weights: Tensor | None = None,
    label_smoothing: float = 0.0,
    hard_pixels: float = 1.0,
    divisor: Divisor = "counted",
    focal_gamma: float = 2.0,
    group: ProcessGroup | None = None,
) -> Tensor:
    """The sum of weight x loss over the names in `weights`: cross_entropy, focal, dice, lovasz.

    Each takes of the options those that it has; see there.

    Raises:
        UnknownNameError: There is no loss of such a name.
    """
    by_pixel: dict[str, Any] = {"class_weights": class_weights, "hard_pixels": hard_pixels, "divisor": divisor}
    losses: dict[str, Callable[..., Tensor]] = {
        "cross_entropy": partial(cross_entropy, **by_pixel, label_smoothing=label_smoothing),
        "focal": partial(focal, **by_pixel, gamma=focal_gamma),
        "dice": dice,
        "lovasz": lovasz,
    }
    for name in weights:
        if name not in losses:
            raise unknown_name("loss", name, losses)
    common: dict[str, Any] = {"ignore_index": ignore_index, "group": group}
    terms = [weight * losses[name](logits, labels, **common) for name, weight in weights.items()]
    return sum(terms[1:], start=terms[0])
