"""A batch of which every process of a group has a share: sums over all of it, and all of its values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

__all__ = ["gathered", "processes", "total"]


def processes(group: ProcessGroup | None) -> int:
    """How many have a share; None stands for one alone."""
    return 1 if group is None else group.size()


def total(share: Tensor, group: ProcessGroup | None) -> Tensor:
    """The sum of the processes' `share`.

    Its gradient is that of the sum times the number of processes, so that the mean of their gradients, which
    DistributedDataParallel takes, is the gradient of what all of them make of the sum.
    """
    if group is None:
        return share
    summed: Tensor = _Total.apply(share, group)
    return summed


def gathered(share: Tensor, group: ProcessGroup | None) -> tuple[Tensor, int]:
    """The processes' `share`, all of one shape, along a new first axis, and the place of this one's there.

    No gradient goes back through it.
    """
    share = share.detach().contiguous()
    if group is None:
        return share[None], 0
    shares = [torch.empty_like(share) for _ in range(group.size())]
    distributed.all_gather(shares, share, group=group)
    return torch.stack(shares), group.rank()


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, share: Tensor, group: ProcessGroup) -> Tensor:
        ctx.processes = group.size()
        summed = share.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(summed, group=group)
        return summed

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.processes * gradient, None
