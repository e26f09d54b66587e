"""Weights, gradients and the optimizer's state in shares, one on each process: FSDP (arXiv 2304.11277).

Only while a block of the network computes are its weights whole. It is for encoders that do not fit on one device, and
slower than `DistributedDataParallel` for those that do. Tested with processes on a CPU; no GPU has seen it yet.
"""

from __future__ import annotations

from itertools import chain

import torch
from torch import Tensor, distributed, nn

from deeplab.models import SegmentationModel

if distributed.is_available():
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
    from torch.distributed.tensor import DTensor

__all__ = ["copy_whole", "reshard", "shard", "share_here"]

BLOCK = 1_000_000
"""Parameters from which a block has its weights put together by itself; the others are together all the time."""


def shard(model: nn.Module, mesh: DeviceMesh) -> None:
    """Keep a share of the parameters of `model` on each process of `mesh`; they are other objects then."""
    for block in _blocks(model):
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    if isinstance(model, SegmentationModel):
        register_fsdp_forward_method(model, "coarse_logits")


def reshard(model: nn.Module) -> None:
    """Take apart what a forward pass has put together; the backward pass does so itself."""
    for module in model.modules():
        if distributed.is_available() and isinstance(module, FSDPModule):
            module.reshard()


def share_here(tensor: Tensor) -> Tensor:
    """This process's share of `tensor`, or all of it where nothing is shared."""
    return tensor.to_local() if distributed.is_available() and isinstance(tensor, DTensor) else tensor


@torch.no_grad()
def copy_whole(model: nn.Module, sharded: nn.Module) -> None:
    """Give `model` the weights and statistics of `sharded`, whose processes all have to come here."""
    targets, sources = (chain(each.parameters(), each.buffers()) for each in (model, sharded))
    for target, source in zip(targets, sources, strict=True):
        target.copy_(source.full_tensor() if isinstance(source, DTensor) else source)


def _blocks(model: nn.Module) -> list[nn.Module]:
    """The innermost modules of a sequence that are large enough; what is in a sequence is called as a whole."""
    found: list[nn.Module] = []

    def look(module: nn.Module, *, in_sequence: bool) -> int:
        """The number of parameters in `module` that no block has."""
        sequence = isinstance(module, nn.Sequential | nn.ModuleList)
        left = sum(parameter.numel() for parameter in module.parameters(recurse=False))
        left += sum(look(child, in_sequence=sequence) for child in module.children())
        if in_sequence and left >= BLOCK and not isinstance(module, nn.ModuleList):
            found.append(module)
            return 0
        return left

    look(model, in_sequence=False)
    return found
