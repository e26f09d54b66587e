"""Which parameter learns at all, how fast, and which one decays."""

from __future__ import annotations

from itertools import chain
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import Optimizer

from deeplab.backbones import Backbone
from deeplab.crf import CRFRNN

__all__ = ["create_optimizer", "freeze", "parameter_groups"]


def freeze(backbone: Backbone, until: str) -> int:
    """Take the parameters of the stages up to and with `until` out of the training; how many tensors that is.

    Args:
        until: "stem", "res2", "res3" or "res4", or "backbone" for all of it.
    """
    frozen = 0
    for stage, parameters in backbone.stages().items():
        for parameter in parameters:
            parameter.requires_grad_(False)
        frozen += len(parameters)
        if stage == until:
            break
    return frozen


def parameter_groups(
    model: nn.Module,
    *,
    learning_rate: float,
    head_multiplier: float,
    weight_decay: float,
    layer_decay: float = 1.0,
    bias_multiplier: float = 1.0,
    auxiliary: nn.Module | None = None,
    auxiliary_multiplier: float | None = None,
) -> list[dict[str, Any]]:
    """The parameters that require a gradient, in groups of one learning rate that decay or do not.

    The head is all that is not in `model.backbone`. Normalisation, biases and depthwise convolutions do not
    decay (so the official code; MobileNets, arXiv 1704.04861, section 3.2). Nor do the matrices of a CRF-RNN, which
    begin as a CRF that works and would end as none; they learn as fast as the rest of the head, as in its authors'
    networks they learn faster than all else.

    Args:
        learning_rate: That of the backbone, or of its last stage.
        head_multiplier: That of the head over it.
        layer_decay: That of each stage of the backbone over that of the next (ULMFiT, arXiv 1801.06146, section 3.2).
        bias_multiplier: That of the biases of convolutions over that of their weights; 2 in the official code.
        auxiliary: A second head.
        auxiliary_multiplier: Its learning rate over that of the backbone; None: that of the head.
    """
    multipliers: dict[nn.Parameter, tuple[str, float]] = {}
    stages = _stages(model.get_submodule("backbone"), layer_decay)
    for depth, (stage, parameters) in enumerate(reversed(stages.items())):
        multipliers.update(dict.fromkeys(parameters, (stage, layer_decay**depth)))
    if auxiliary is not None and auxiliary_multiplier is not None:
        multipliers.update(dict.fromkeys(auxiliary.parameters(), ("auxiliary head", auxiliary_multiplier)))
    groups: dict[tuple[str, float, bool], list[nn.Parameter]] = {}
    for module in chain(model.modules(), () if auxiliary is None else auxiliary.modules()):
        depthwise = isinstance(module, nn.Conv2d) and module.groups > 1 and module.groups == module.in_channels
        kept = depthwise or isinstance(module, CRFRNN)
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad:
                part, multiplier = multipliers.get(parameter, ("head", head_multiplier))
                if name == "bias" and isinstance(module, nn.Conv2d | nn.Linear):
                    multiplier *= bias_multiplier
                key = (part, multiplier, parameter.ndim > 1 and not kept)
                groups.setdefault(key, []).append(parameter)
    return [
        {
            "name": f"{part}, {'decayed' if decayed else 'not decayed'}",
            "params": parameters,
            "lr": learning_rate * multiplier,
            "weight_decay": weight_decay if decayed else 0.0,
        }
        for (part, multiplier, decayed), parameters in groups.items()
    ]


def _stages(backbone: nn.Module, layer_decay: float) -> dict[str, list[nn.Parameter]]:
    """The backbone's stages, or it as one where all of them learn alike."""
    if layer_decay == 1:
        return {"backbone": list(backbone.parameters())}
    assert isinstance(backbone, Backbone)
    return backbone.stages()


def create_optimizer(groups: list[dict[str, Any]], *, name: Literal["adamw", "sgd"]) -> Optimizer:
    """AdamW, or SGD with momentum 0.9 as in the papers, over groups that bring their own rates."""
    return torch.optim.AdamW(groups) if name == "adamw" else torch.optim.SGD(groups, lr=0.0, momentum=0.9)
