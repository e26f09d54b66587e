"""Our model beside the system that its weights come from: one input, the difference layer by layer and at the end.

The other system is either installed here or has left its outputs in a file, a golden one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from deeplab.errors import CheckpointError, DataError, InputNotFoundError
from deeplab.layers import Prepare
from deeplab.models import SegmentationModel
from deeplab.weights._source import Conversion

LIMIT = 2e-4
"""Up to this a model counts as the same: rounding to float32 makes 5e-6 to 3e-5, the smallest effect of one tensor that
is in the wrong place is 1.4e-3 (docs/parity.md)."""

SMALLEST = 1e-12
"""Where the other system's output is constant, this stands for its standard deviation."""


class LayerDifference(NamedTuple):
    theirs: str
    ours: str
    difference: float


@dataclass(frozen=True)
class Agreement:
    """The largest differences of two networks, each over the standard deviation of the other system's values."""

    layers: tuple[LayerDifference, ...]
    """In the order in which our model computes them."""
    logits: float
    equal_labels: float
    """Share of the pixels where both have the same class in front."""
    limit: ClassVar[float] = LIMIT

    @property
    def holds(self) -> bool:
        """Whether the logits count as the same."""
        return self.logits <= self.limit  # False too where they are no numbers

    def check(self, what: str) -> None:
        """Raise CheckpointError unless it holds; `what` names the checkpoint."""
        if self.holds:
            return
        where = "name layers in the golden file to see where it begins"
        if self.layers:
            where = "every layer agrees, so that it lies between them"
        for layer in self.layers:
            if not layer.difference <= LIMIT:
                where = f"the first layer that differs is {layer.theirs} -> {layer.ours} ({layer.difference:.1e})"
                break
        raise CheckpointError(
            f"{what}: the logits are not those of the other system, they differ by {self.logits:.1e} of their "
            f"standard deviation, above {LIMIT:.0e}; {where}; nothing is written"
        )


def compare(conversion: Conversion, *, golden: Path | None = None) -> Agreement | None:
    """The model of a conversion beside the outputs in the file `golden`, or beside the other system itself.

    Args:
        golden: A NumPy file .npz with

            - `input`, (N, C, H, W), float, RGB as the network sees it; or `image`, (H, W, 3), uint8, which our model
              normalises itself;
            - `logits`, (N, num_classes, h, w) or (N, h, w, num_classes), of the size of the input or at the head's
              own stride;
            - outputs of further layers, (N, C, h, w) or (N, h, w, C), each under the layer's name in the checkpoint.

    Returns:
        None: without `golden`, where the other system is not installed or has no such network.

    Raises:
        InputNotFoundError: There is no file `golden`.
        DataError: It is not as said above.
        CheckpointError: The outputs have other shapes than ours.
    """
    model = conversion.checkpoint.model
    if golden is not None:
        return _beside_outputs(model, conversion.placed, golden)
    original = conversion.original() if conversion.original else None
    return None if original is None else _beside_network(model, conversion, original)


@torch.inference_mode()
def _beside_network(model: SegmentationModel, conversion: Conversion, original: nn.Module) -> Agreement:
    there, here = _leaves(original), _leaves(model)
    layers = {theirs: ours for theirs, ours in pairs(conversion.placed).items() if theirs in there and ours in here}
    channels = model.arguments["in_channels"]
    x = torch.randn(1, channels, *conversion.image_size, generator=torch.Generator().manual_seed(0))
    with _outputs(original, layers) as outputs:
        result = original(x)
    logits = next(iter(result.values())) if isinstance(result, Mapping) else result
    with _without_normalisation(model):
        return _compared(model, x, logits, {layers[name]: (name, output) for name, output in outputs.items()})


@torch.inference_mode()
def _beside_outputs(model: SegmentationModel, placed: Mapping[str, str], golden: Path) -> Agreement:
    arrays = _read(golden)
    if "logits" not in arrays or ("input" in arrays) == ("image" in arrays):
        raise DataError(f"{golden}: wanted 'logits' and one of 'input' and 'image', got {', '.join(arrays)}")
    logits, channels = arrays.pop("logits"), model.arguments["in_channels"]
    name = "input" if "input" in arrays else "image"
    x = arrays.pop(name)
    if name == "input" and not (x.ndim == 4 and x.shape[1] == channels and x.is_floating_point()):
        raise DataError(f"{golden}: input wants float (N, {channels}, H, W), got {_described(x)}")
    if name == "image" and not (x.ndim == 3 and x.shape[2] == channels and x.dtype == torch.uint8):
        raise DataError(f"{golden}: image wants uint8 (H, W, {channels}), got {_described(x)}")
    layers = pairs(placed)
    for theirs in arrays:
        if theirs not in layers:
            raise DataError(
                f"{golden}: '{theirs}' is no layer of the checkpoint that became one of ours; wanted names such as "
                f"{', '.join(list(layers)[:3])}"
            )
    recorded = {layers[theirs]: (theirs, output) for theirs, output in arrays.items()}
    try:
        if name == "image":
            return _compared(model, x.permute(2, 0, 1)[None].float() / 255, logits, recorded)
        with _without_normalisation(model):
            return _compared(model, x.float(), logits, recorded)
    except CheckpointError as error:
        raise DataError(f"{golden}: {error}") from error


def _leaves(network: nn.Module) -> set[str]:
    """The names of the modules that have none in them."""
    return {name for name, module in network.named_modules() if not list(module.children())}


def pairs(placed: Mapping[str, str]) -> dict[str, str]:
    """Layer there -> layer here, single ones and blocks: all whose tensors are the same."""
    here = {frozenset(tensors): name for name, tensors in _tensors_below((name, name) for name in placed.values())}
    found = ((name, here.get(frozenset(tensors))) for name, tensors in _tensors_below(placed.items()))
    return {theirs: ours for theirs, ours in found if ours is not None}


def _tensors_below(names: Iterable[tuple[str, str]]) -> Iterable[tuple[str, set[str]]]:
    """For every part of a network, outer before inner ones, the tensors in it, by their names here."""
    below: dict[str, set[str]] = {}
    for name, ours in names:
        for separator in re.finditer(r"[./]", name):
            below.setdefault(name[: separator.start()], set()).add(ours)
    return below.items()


def _compared(
    model: SegmentationModel, x: Tensor, logits: Tensor, recorded: Mapping[str, tuple[str, Tensor]]
) -> Agreement:
    """`recorded`: our layer -> its name and its output there."""
    at_full_size = x.shape[-2:] in (logits.shape[-2:], logits.shape[1:3])
    with _outputs(model, recorded) as outputs:
        found = model(x) if at_full_size else model.coarse_logits(x)
    if missing := recorded.keys() - outputs.keys():
        raise CheckpointError(f"'{recorded[min(missing)][0]}' has not one output here; take the layers in it")
    layers = []
    for ours, output in outputs.items():
        theirs, expected = recorded[ours]
        output = _as_one_logit(output, expected)
        layers.append(LayerDifference(theirs, ours, _difference(output, _as_ours(expected, output, theirs))))
    found = _as_one_logit(found, logits)
    expected = _as_ours(logits, found, "logits")
    equal = (_labels(found) == _labels(expected)).double().mean()
    return Agreement(tuple(layers), _difference(found, expected), float(equal))


def _as_one_logit(ours: Tensor, theirs: Tensor) -> Tensor:
    """Our logits of two classes as the one there, of a sigmoid, that they were made from; all else as it is."""
    return ours[:, 1:] - ours[:, :1] if ours.shape[1] == 2 and 2 * theirs.numel() == ours.numel() else ours


def _labels(logits: Tensor) -> Tensor:
    return logits.argmax(dim=1) if logits.shape[1] > 1 else (logits > 0).squeeze(1)


def _as_ours(theirs: Tensor, ours: Tensor, name: str) -> Tensor:
    """`theirs` as (N, C, H, W), which it is already or has as (N, H, W, C): as what fits, and fits best."""
    orders = [theirs, theirs.permute(0, 3, 1, 2)] if theirs.ndim == 4 else [theirs]
    fitting = [order for order in orders if order.shape == ours.shape]
    if not fitting:
        raise CheckpointError(f"{name} there is {tuple(theirs.shape)}, here {tuple(ours.shape)}")
    return min(fitting, key=lambda order: _difference(ours, order))


def _difference(ours: Tensor, theirs: Tensor) -> float:
    deviation = max(float(theirs.double().std(correction=0)), SMALLEST)
    return float((ours.double() - theirs.double()).abs().max()) / deviation


@contextmanager
def _outputs(network: nn.Module, layers: Iterable[str]) -> Iterator[dict[str, Tensor]]:
    """The outputs of `layers`, once the network has run, in the order in which they were computed."""
    found: dict[str, Tensor] = {}
    hooks = [network.get_submodule(name).register_forward_hook(partial(_keep, found, name)) for name in layers]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _keep(found: dict[str, Tensor], name: str, module: nn.Module, inputs: Any, output: Any) -> None:
    if isinstance(output, Tensor):
        found[name] = output.clone()  # an activation behind it may work in place


@contextmanager
def _without_normalisation(model: SegmentationModel) -> Iterator[None]:
    """For images that are normalised already; they are padded still."""
    own = model.prepare
    channels = model.arguments["in_channels"]
    model.prepare = Prepare([0.0] * channels, [1.0] * channels, stride=own.stride)
    try:
        yield
    finally:
        model.prepare = own


def _read(golden: Path) -> dict[str, Tensor]:
    if not golden.is_file():
        raise InputNotFoundError(f"no file {golden}; wanted outputs of the other system, .npz")
    try:
        with golden.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return {name: torch.from_numpy(file[name]) for name in file.files}
    except Exception as error:  # damaged, another format, or arrays of objects
        raise DataError(f"{golden}: no complete .npz of arrays, as numpy.savez writes; make it anew") from error


def _described(array: Tensor) -> str:
    return f"{str(array.dtype).removeprefix('torch.')} {tuple(array.shape)}"
