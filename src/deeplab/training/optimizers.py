"""Which parameter learns how fast, and which one decays."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import nn
from torch.optim import Optimizer

__all__ = ["create_optimizer", "parameter_groups"]


def parameter_groups(
    model: nn.Module, *, learning_rate: float, head_multiplier: float, weight_decay: float
) -> list[dict[str, Any]]:
    """The parameters that require a gradient in up to four groups: backbone or head, decayed or not.

    The head is all that is not in `model.backbone`. Normalisation, biases and depthwise convolutions do not
    decay (so the official code; MobileNets, arXiv 1704.04861, section 3.2).
    """
    in_backbone = {id(parameter) for parameter in model.get_submodule("backbone").parameters()}
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for module in model.modules():
        depthwise = isinstance(module, nn.Conv2d) and module.groups > 1 and module.groups == module.in_channels
        for parameter in module.parameters(recurse=False):
            if parameter.requires_grad:
                key = (id(parameter) in in_backbone, parameter.ndim > 1 and not depthwise)
                groups.setdefault(key, []).append(parameter)
    return [
        {
            "name": f"{'backbone' if backbone else 'head'}, {'decayed' if decayed else 'not decayed'}",
            "params": parameters,
            "lr": learning_rate * (1 if backbone else head_multiplier),
            "weight_decay": weight_decay if decayed else 0.0,
        }
        for (backbone, decayed), parameters in groups.items()
    ]


def create_optimizer(groups: list[dict[str, Any]], *, name: Literal["adamw", "sgd"]) -> Optimizer:
    """AdamW, or SGD with momentum 0.9 as in the papers, over groups that bring their own rates."""
    return torch.optim.AdamW(groups) if name == "adamw" else torch.optim.SGD(groups, lr=0.0, momentum=0.9)
