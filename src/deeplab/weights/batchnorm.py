"""Give BatchNorms true statistics without changing what a network computes.

In a converted file BatchNorm is folded into the convolutions, and our norms let everything pass: their
running mean 0 and variance 1 are not those of their input. Training, which normalises by the statistics of
the batch, would start from another function; after `recalibrate_batchnorm` it starts from the same one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from deeplab.errors import DataError
from deeplab.layers import BatchNorm

__all__ = ["is_folded", "recalibrate_batchnorm"]


def is_folded(norm: BatchNorm) -> bool:
    """Whether it has no statistics, as in a converted file or at its start."""
    return norm.running_mean is not None and not norm.running_mean.any()


@torch.no_grad()
def recalibrate_batchnorm(
    model: nn.Module, batches: Iterable[Tensor], *, norms: Collection[BatchNorm] | None = None
) -> None:
    """Measure what enters every BatchNorm of `model` over `batches`, and set the norms to that, in place.

    Running mean and variance become those of all batches and positions; weight and bias change with them, so
    that in evaluation mode the model computes the same, up to rounding.

    Args:
        batches: What `model` takes, each (N, C, H, W) float, on its device. They should look as in training,
            and be dozens of images, since image pooling gives one value per image and channel.

    Raises:
        DataError: No batch came.
    """
    if norms is None:
        norms = [norm for norm in model.modules() if isinstance(norm, BatchNorm)]
    moments = {norm: _Moments() for norm in norms}
    handles = [norm.register_forward_pre_hook(partial(_measure, moments)) for norm in moments]
    was_training = model.training
    model.eval()
    try:
        for batch in batches:
            model(batch)
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    if not any(measured.count for measured in moments.values()):
        raise DataError("no images to measure BatchNorm on; give at least one batch, better dozens of images")
    for norm, measured in moments.items():
        if measured.count:
            _set(norm, measured)


class _Moments:
    """Mean and biased variance of each channel over all that was added, merged in float64 (Chan et al.)."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros((), dtype=torch.float64)  # (channels,) from the first `add` on
        self.variance = torch.zeros((), dtype=torch.float64)

    def add(self, x: Tensor) -> None:
        variance, mean = (moment.double().cpu() for moment in torch.var_mean(x.float(), dim=(0, 2, 3), correction=0))
        added = x.numel() // x.shape[1]
        share = added / (self.count + added)
        difference = mean - self.mean
        self.variance = (1 - share) * self.variance + share * variance + share * (1 - share) * difference**2
        self.mean = self.mean + share * difference
        self.count += added


def _measure(moments: dict[BatchNorm, _Moments], norm: BatchNorm, inputs: tuple[Any, ...]) -> None:
    moments[norm].add(inputs[0])


def _set(norm: BatchNorm, measured: _Moments) -> None:
    """Change the statistics; (x - running_mean) * slope + bias stays, as a function of x."""
    state = norm.state_dict()
    old = {name: tensor.double().cpu() for name, tensor in state.items()}
    slope = old["weight"] / (old["running_var"] + norm.eps).sqrt()
    state["running_mean"].copy_(measured.mean)
    state["running_var"].copy_(measured.variance)
    state["weight"].copy_(slope * (measured.variance + norm.eps).sqrt())
    state["bias"].copy_(old["bias"] + (measured.mean - old["running_mean"]) * slope)
