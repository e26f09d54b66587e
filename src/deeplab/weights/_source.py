"""How the checkpoints of another system become ours: by a table of name rules, and none is left silently."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deeplab._words import number_of
from deeplab.checkpoints import Checkpoint, Preprocessing
from deeplab.errors import CheckpointError, DeepLabError, SettingsError
from deeplab.images import color_map
from deeplab.layers import ATROUS_RATES
from deeplab.models import SegmentationModel, create_model
from deeplab.weights._classes import OF_ONE_LOGIT, assumed_names, names_of, palette_of
from deeplab.weights._state import COPY, read_state

Tensors = Mapping[str, Tensor]

Place = str | Callable[[re.Match[str]], str]

Rules = Iterable[tuple[str, Place]]
"""A regular expression for the start of a name there, and what it is called here; the first that fits counts."""

IMAGE_SIZE = (97, 129)
"""Odd, so that every rounding of sizes counts."""

COUNTER = "num_batches_tracked"
"""BatchNorm's number of updates: of no use to a model that uses its statistics."""


@dataclass(frozen=True)
class Conversion:
    """A model with the weights of another system, and where each of its tensors went."""

    checkpoint: Checkpoint
    placed: Mapping[str, str]
    """Name there -> name here."""
    left: tuple[str, ...] = ()
    """Tensors of the file that only training uses."""
    original: Callable[[], nn.Module | None] | None = None
    """The other system's own network with the tensors of the file, in evaluation mode; None: not to be had here."""
    image_size: tuple[int, int] = IMAGE_SIZE
    """(height, width) that it can be given."""
    assumed: Mapping[str, Any] = field(default_factory=dict)
    """What the file does not tell and was taken from what the system publishes, by what it is called here; "classes":
    whose names the classes have."""


def _as_it_is(_: Mapping[str, Any]) -> None:
    """No scaling."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A system whose checkpoints are read; each file of this folder that has one is an entry of `--source`."""

    title: str
    """Its networks that we know, as an error names them."""
    rules: Rules | Callable[[Collection[str]], Rules]
    """Or what gives them for the names of a file."""
    network: Callable[[Tensors], Mapping[str, Any]]
    """What `create_model` builds these tensors' network from: "name" and its options, but for `num_classes`. The
    tensors have our names."""
    arrange: Callable[[Tensors], Tensors] = dict
    """The tensors, under our names, in our order of channels."""
    left_behind: tuple[str, ...] = ()
    """Regular expressions for names of tensors that only training uses."""
    read: Callable[[Path], Tensors] = read_state
    long_side: Callable[[Mapping[str, Any]], int | None] = _as_it_is
    """Pixels to which the system scales an image's longer side, for the arguments of a model; None: as it is."""
    original: Callable[[Tensors, SegmentationModel], nn.Module | None] | None = None
    """The system's own network, with random weights, for tensors under its names and the model that we made of them;
    None where it has no such network. Raises ImportError where it is not installed."""
    image_size: tuple[int, int] = IMAGE_SIZE
    """(height, width), in pixels, of an image that it can be given."""

    def convert(self, path: str | Path, *, output_stride: int | None = None) -> Conversion:
        """The model in the file `path`.

        Args:
            output_stride: None: that of the system's evaluation; the file does not say at which it was trained. The
                weights are the same at any, and the atrous rates follow it, unless the system has the same at each.
                A network whose `dilate_first` is on computes something else at another stride.

        Raises:
            InputNotFoundError: There is no such file.
            CheckpointError: It cannot be read, or is of no network that we know.
        """
        return self.from_tensors(self.read(Path(path)), what=str(path), output_stride=output_stride)

    def from_tensors(
        self, found: Tensors, *, what: str, output_stride: int | None = None, **options: Any
    ) -> Conversion:
        """As `convert`, of tensors by name; `what` names them in an error, `options` go before the network's own."""
        pattern = re.compile("|".join((*self.left_behind, COPY.pattern, "n_averaged$", rf".*{COUNTER}$")))
        left = [name for name in found if pattern.match(name)]
        names = [name for name in found if not pattern.match(name)]
        placed = places(names, self.rules(names) if callable(self.rules) else self.rules, what=what)
        tensors: Tensors = {ours: found[theirs] for theirs, ours in placed.items()}
        num_classes = _count_classes(tensors, what=what, wanted=self.title)
        classes = names_of(num_classes)
        try:
            if num_classes == 1:
                num_classes, classes, tensors = 2, OF_ONE_LOGIT, _with_background(tensors)
            tensors = self.arrange(tensors)
            network = {**self.network(tensors), **options}
            if output_stride is not None:
                network["output_stride"] = output_stride
            model = create_model(**{"num_classes": num_classes, **network})
        except KeyError as error:
            raise CheckpointError(f"{what}: {error.args[0]} is missing; wanted {self.title}") from error
        except DeepLabError as error:
            raise CheckpointError(f"{what}: {error}") from error
        except (IndexError, TypeError, RuntimeError, StopIteration) as error:  # of tensors with other dimensions
            raise CheckpointError(f"{what}: tensors of shapes that do not fit together; wanted {self.title}") from error
        fill(model, tensors, what=what)
        checkpoint = Checkpoint(
            model.eval(),
            classes,
            palette_of(num_classes),
            Preprocessing(self.long_side(model.arguments)),
            training={"converted_from": Path(what).name},
        )
        return Conversion(
            checkpoint,
            placed,
            tuple(name for name in left if not name.endswith(COUNTER)),
            partial(self._original, {name: found[name] for name in found if not COPY.match(name)}, model),
            self.image_size,
            _assumed(checkpoint, tensors, told={*options, "output_stride"} if output_stride else {*options}),
        )

    def _original(self, found: Tensors, model: SegmentationModel) -> nn.Module | None:
        if self.original is None:
            return None
        try:
            network = self.original(found, model)
            if network is not None:
                counters = {name: value for name, value in network.state_dict().items() if name.endswith(COUNTER)}
                network.load_state_dict({**counters, **found})
        except (ImportError, AttributeError, TypeError, RuntimeError):  # not installed, or another version of it
            return None
        return network and network.eval()


def combined(layers: Rules, parts: Iterable[tuple[str, str]]) -> Iterator[tuple[str, Place]]:
    """Rules for the tensors of layers: every rule of `layers` with every one of `parts` behind it."""
    for theirs, ours in layers:
        for their_part, our_part in parts:
            if isinstance(ours, str):
                yield theirs + their_part, ours + our_part
            else:
                yield theirs + their_part, partial(_behind, ours, our_part)


def _behind(place: Callable[[re.Match[str]], str], part: str, found: re.Match[str]) -> str:
    return place(found) + part


def places(names: Iterable[str], rules: Rules, *, what: str) -> dict[str, str]:
    """Name there -> name here.

    Raises:
        CheckpointError: No rule fits a name, or two names get one place.
    """
    compiled = [(re.compile(theirs), ours) for theirs, ours in rules]
    found: dict[str, str] = {}
    taken: dict[str, str] = {}
    for name in names:
        matches = ((pattern.match(name), ours) for pattern, ours in compiled)
        match, ours = next(((match, ours) for match, ours in matches if match), (None, ""))
        if match is None:
            raise CheckpointError(f"{what}: '{name}' has no place in the model; is the file of another source?")
        start = match.expand(ours) if isinstance(ours, str) else ours(match)
        found[name] = start + name[match.end() :]
        if found[name] in taken:
            raise CheckpointError(f"{what}: '{taken[found[name]]}' and '{name}' are both {found[name]}")
        taken[found[name]] = name
    return found


@torch.no_grad()
def fill(network: nn.Module, tensors: Tensors, *, what: str) -> None:
    """Copy the tensors into the network, each into that of its name, in float32; BatchNorm's counters stay.

    Raises:
        CheckpointError: A tensor is missing, left over, of another shape, of whole numbers, or not finite.
    """
    wanted = {name: tensor for name, tensor in network.state_dict().items() if not name.endswith(COUNTER)}
    wanted = {name: tensor for name, tensor in wanted.items() if not name.startswith("prepare.")}
    for kind, names in (("missing", wanted.keys() - tensors.keys()), ("left over", tensors.keys() - wanted.keys())):
        if names:
            raise CheckpointError(f"{what}: {len(names)} tensors are {kind}, {sorted(names)[0]} for one")
    for name, tensor in tensors.items():
        if tensor.shape != wanted[name].shape:
            raise CheckpointError(f"{what}: {name} is {tuple(tensor.shape)}, wanted {tuple(wanted[name].shape)}")
        if not tensor.is_floating_point() or tensor.layout is not torch.strided:
            kind = str(tensor.dtype).removeprefix("torch.")
            raise CheckpointError(f"{what}: {name} holds {kind}, wanted plain floats; is the model quantised?")
        tensor = tensor.float()
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{what}: {name} has values that are not finite in float32; get the file anew")
        wanted[name].copy_(tensor)


def _assumed(checkpoint: Checkpoint, tensors: Tensors, *, told: Collection[str]) -> dict[str, Any]:
    """As `Conversion.assumed`, but for the options that were `told`."""
    arguments = checkpoint.model.arguments
    stride, rates = arguments["output_stride"], arguments.get("atrous_rates")
    if rates is None and any(name.startswith("aspp.atrous.") for name in tensors):
        rates = ATROUS_RATES[stride]
    found = {
        "output_stride": stride,
        "atrous_rates": rates,
        "multi_grid": arguments.get("multi_grid"),
        "image_pooling_crop_size": arguments.get("image_pooling_crop_size"),
        "long_side": checkpoint.preprocessing.long_side,
    }
    names = assumed_names(checkpoint.classes)
    return {
        **({"classes": names} if names else {}),
        **{name: value for name, value in found.items() if value and name not in told},
    }


def with_names(conversion: Conversion, classes: tuple[str, ...], *, what: str) -> Conversion:
    """The classes by these names. Where names were assumed, colours were too: other classes get those of no data set.

    Raises:
        SettingsError: Not as many.
    """
    assumed, checkpoint = dict(conversion.assumed), conversion.checkpoint
    number, title = len(checkpoint.classes), assumed.pop("classes", None)
    if len(classes) != number:
        order = "both, the background first, as of one logit" if title == "one logit" else "all, in their order"
        raise SettingsError(
            f"classes names {len(classes)} but {what} has {number_of(number, 'class', 'classes')}; name {order}"
        )
    palette = color_map(number) if title and classes != checkpoint.classes else checkpoint.palette
    return replace(conversion, checkpoint=replace(checkpoint, classes=classes, palette=palette), assumed=assumed)


CLASSIFIERS = ("classify.bias", "classify.0.bias", "decoder.0.reduce.bias")
"""The bias of the last layer, or of the first of those whose sum the logits are."""


def _with_background(tensors: Tensors) -> Tensors:
    """A classifier of one logit z, which is trained for its sigmoid, as one of two classes: the first one's logit is
    always 0, and the softmax of (0, z) has the sigmoid of z behind."""
    last = next(name.partition(".")[0] for name in CLASSIFIERS if name in tensors)
    return {
        name: torch.cat([torch.zeros_like(tensor), tensor]) if name.startswith(f"{last}.") else tensor
        for name, tensor in tensors.items()
    }


def _count_classes(tensors: Tensors, *, what: str, wanted: str) -> int:
    """The number of classes. Raises CheckpointError where there is no classifier."""
    for name in CLASSIFIERS:
        if name in tensors:
            return tensors[name].numel()
    raise CheckpointError(f"{what}: no classifier in it; wanted {wanted}")
