"""Start a new model from the weights of another: what fits is copied, and what did not is said."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from deeplab.checkpoints import Checkpoint
from deeplab.models import SegmentationModel


@dataclass(frozen=True)
class Transfer:
    """What `transfer` did, by tensor name."""

    copied: tuple[str, ...]
    rows: tuple[str, ...]
    """Classes whose row of the last layer was copied by name."""
    left: tuple[str, ...]
    """Tensors of the new model that keep their random start; the last layer's but for `rows`."""


@torch.no_grad()
def transfer(model: SegmentationModel, source: Checkpoint, *, classes: tuple[str, ...] = ()) -> Transfer:
    """Copy into `model` every tensor of `source` with its name and shape; of the last layer, classes by name.

    The backbone is copied if it is the same one, and with it the normalisation that its weights were trained with.

    Args:
        classes: The names of the classes of `model`, in order.
    """
    given = source.model.state_dict()
    if model.arguments["backbone"] != source.model.arguments["backbone"]:
        given = {name: tensor for name, tensor in given.items() if not name.startswith(("backbone.", "prepare."))}
    copied, left = [], []
    for name, tensor in model.state_dict().items():
        if not name.startswith("classify.") and name in given and given[name].shape == tensor.shape:
            tensor.copy_(given[name])
            copied.append(name)
        else:
            left.append(name)
    if "prepare.mean" in copied:
        keys = ("image_mean", "image_std")
        model.arguments = {**model.arguments, **{key: source.model.arguments[key] for key in keys}}
    return Transfer(tuple(copied), _copy_rows(model, source, classes), tuple(left))


def _copy_rows(model: SegmentationModel, source: Checkpoint, classes: tuple[str, ...]) -> tuple[str, ...]:
    new, old = _last_layer(model), _last_layer(source.model)
    if {key: rows.shape[1:] for key, rows in new.items()} != {key: rows.shape[1:] for key, rows in old.items()}:
        return ()
    known = {name.lower(): row for row, name in enumerate(source.classes)}
    matched = [(row, known[name.lower()]) for row, name in enumerate(classes) if name.lower() in known]
    for row, old_row in matched:
        for key in new:
            new[key][row] = old[key][old_row]
    return tuple(classes[row] for row, _ in matched)


def _last_layer(model: SegmentationModel) -> dict[str, Tensor]:
    """Every tensor with a row for each class; DeepLab v2 has several layers of them."""
    return {key: tensor for key, tensor in model.state_dict().items() if key.startswith("classify.")}
