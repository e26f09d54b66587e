"""From the PyTorch file of another system to our tensors, by rules for the names; none is left silently."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from deeplab.checkpoints import Checkpoint, Preprocessing
from deeplab.errors import CheckpointError, InputNotFoundError
from deeplab.models import SegmentationModel
from deeplab.weights._classes import names_of, palette_of
from deeplab.weights._pickled import NUMPY, NUMPY_TYPES, read_pickle

PARTS = (("conv", "conv"), ("bn", "norm"))

RESNETS = {
    (2, False): "resnet18",
    (6, False): "resnet34",
    (6, True): "resnet50",
    (23, True): "resnet101",
    (36, True): "resnet152",
}
"""By the units in the third stage, and whether they are bottlenecks."""

Rules = Iterable[tuple[str, str]]
"""Regular expressions for the start of a name there and what it is called here; the first that fits counts."""

WRAPPERS = ("state_dict", "model_state", "model_state_dict", "model")
"""Keys under which training scripts keep the weights in their checkpoints."""

COUNTER = "num_batches_tracked"
"""BatchNorm's number of updates: of no use to a model that uses its statistics."""

RESNET = (
    (r"conv1\.", "backbone.stem.conv."),
    (r"bn1\.", "backbone.stem.norm."),
    *(
        (rf"layer{stage}\.(\d+)\.{theirs}\.", rf"backbone.res{stage + 1}.\1.{ours}.")
        for stage in (1, 2, 3, 4)
        for theirs, ours in (
            *((f"{kind}{index}", f"conv{index}.{our_kind}") for index in (1, 2, 3) for kind, our_kind in PARTS),
            *((f"downsample.{index}", f"shortcut.{our_kind}") for index, (_, our_kind) in enumerate(PARTS)),
        )
    ),
)
"""The names that torchvision gives a ResNet, and after it nearly everybody."""


def aspp_rules(prefix: str) -> Iterator[tuple[str, str]]:
    """The names that torchvision gives its ASPP, a module `prefix`, and VainF after it."""
    places = [("convs.0.0", "pointwise.conv"), ("convs.0.1", "pointwise.norm")]
    places += [
        (f"convs.{branch + 1}.{index}", f"atrous.{branch}.{part}")
        for branch in (0, 1, 2)
        for index, (_, part) in enumerate(PARTS)
    ]
    places += [("convs.4.1", "image_pooling.conv"), ("convs.4.2", "image_pooling.norm")]
    places += [("project.0", "project.conv"), ("project.1", "project.norm")]
    for theirs, ours in places:
        yield re.escape(f"{prefix}.{theirs}."), f"aspp.{ours}."


def resnet_name(tensors: Mapping[str, Tensor], *, what: str) -> str:
    """Which ResNet these tensors, under our names, are of: by its units.

    Raises:
        CheckpointError: None that we have.
    """
    units = {name.split(".")[2] for name in tensors if name.startswith("backbone.res4.")}
    bottleneck = "backbone.res2.0.conv3.conv.weight" in tensors
    name = RESNETS.get((len(units), bottleneck))
    if name is None:
        raise CheckpointError(f"{what}: a ResNet of {len(units)} units in its third stage; wanted ResNet-18 to -152")
    return name


class UnreadableError(CheckpointError):
    """The file is not one of weights, whatever the system."""


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors in a PyTorch, pickle or safetensors file by name, without "module." before it. No code of it is run.

    Raises:
        InputNotFoundError: There is no such file.
        UnreadableError: It is damaged, holds more than tensors, or no weights.
    """
    if not path.is_file():
        raise InputNotFoundError(f"no weights file {path}")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except SafetensorError as error:
            raise UnreadableError(f"{path}: cannot be read as safetensors ({error})") from error
    try:
        found = _tensors(_read_pickled(path))
    except pickle.UnpicklingError as error:
        raise UnreadableError(
            f"{path}: holds more than tensors or is damaged, and is not opened; take a file with the state_dict alone"
        ) from error
    except Exception as error:  # on damaged bytes the unpickler raises nearly anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UnreadableError(f"{path}: cannot be read as PyTorch weights ({reason})") from error
    if not found:
        raise UnreadableError(f"{path}: no weights in it; wanted names and tensors, a state_dict")
    return found


def _read_pickled(path: Path) -> Any:
    """What torch.save or, in a .pkl, pickle itself wrote. Scores that training kept beside the weights are NumPy's."""
    if path.suffix == ".pkl":
        return read_pickle(path)
    with torch.serialization.safe_globals([*((value, name) for name, value in NUMPY.items()), *NUMPY_TYPES]):
        return torch.load(path, map_location="cpu", weights_only=True)


def _tensors(found: Any) -> dict[str, Tensor]:
    """The tensors and arrays in it by name, out of what they are wrapped in."""
    for wrapper in WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(wrapper), Mapping):
            found = found[wrapper]
    values = dict(found) if isinstance(found, Mapping) else {}
    tensors = {name: torch.from_numpy(each) if isinstance(each, np.ndarray) else each for name, each in values.items()}
    return {str(name).removeprefix("module."): each for name, each in tensors.items() if isinstance(each, Tensor)}


def renamed(state: Mapping[str, Tensor], rules: Rules, *, what: str) -> dict[str, Tensor]:
    """The tensors under our names.

    Raises:
        CheckpointError: No rule fits a name.
    """
    compiled = [(re.compile(f"^{theirs}"), ours) for theirs, ours in rules]
    found = {}
    for name, tensor in state.items():
        if name.endswith(COUNTER):
            continue
        for pattern, ours in compiled:
            new, count = pattern.subn(ours, name)
            if count:
                found[new] = tensor
                break
        else:
            raise CheckpointError(f"{what}: '{name}' has no place in the model; is the file of another source?")
    return found


def count_classes(tensors: Mapping[str, Tensor], *, what: str, wanted: str) -> int:
    """The number of classes of tensors under our names.

    Raises:
        CheckpointError: They have no classifier, and so are not what is `wanted`.
    """
    for name in ("classify.bias", "classify.0.bias"):
        if name in tensors:
            return len(tensors[name])
    raise CheckpointError(f"{what}: no classifier in it; wanted {wanted}")


def finished(
    model: SegmentationModel, tensors: Mapping[str, Tensor], *, what: str, preprocessing: Preprocessing | None = None
) -> Checkpoint:
    """The model with these tensors, and what its classes are called by their number.

    Raises:
        CheckpointError: As `fill`.
    """
    fill(model, tensors, what=what)
    num_classes = model.arguments["num_classes"]
    return Checkpoint(
        model.eval(),
        names_of(num_classes),
        palette_of(num_classes),
        preprocessing or Preprocessing(),
        training={"converted_from": Path(what).name},
    )


@torch.no_grad()
def fill(model: nn.Module, tensors: Mapping[str, Tensor], *, what: str) -> None:
    """Copy the tensors into the model, each into that of its name, in float32; BatchNorm's counters stay.

    Raises:
        CheckpointError: A tensor is missing, left over, or of another shape.
    """
    wanted = {name: tensor for name, tensor in model.state_dict().items() if not name.endswith(COUNTER)}
    wanted = {name: tensor for name, tensor in wanted.items() if not name.startswith("prepare.")}
    for kind, names in (("missing", wanted.keys() - tensors.keys()), ("left over", tensors.keys() - wanted.keys())):
        if names:
            raise CheckpointError(f"{what}: {len(names)} tensors are {kind}, {sorted(names)[0]} for one")
    for name, tensor in tensors.items():
        if tensor.shape != wanted[name].shape:
            raise CheckpointError(f"{what}: {name} is {tuple(tensor.shape)}, wanted {tuple(wanted[name].shape)}")
        wanted[name].copy_(tensor)


def pooling_first(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """ASPP's projection for our order of the branches, image pooling first as in the official code, for one of a
    system that has it last."""
    name = "aspp.project.conv.weight"
    channels = tensors["aspp.pointwise.conv.weight"].shape[0]
    return {**tensors, name: tensors[name].roll(channels, dims=1)}
