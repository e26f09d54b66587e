"""The systems whose checkpoints are read: each public file of this folder that offers `convert`."""

from __future__ import annotations

import importlib
import re
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from deeplab import catalog, checkpoints
from deeplab.errors import CheckpointError, InputNotFoundError, unknown_name
from deeplab.weight_files import checkpoint_file, not_weights
from deeplab.weights._source import Conversion, Source, with_names
from deeplab.weights._state import UnreadableError, read_once
from deeplab.weights.encoders import backbone_in

AUTO = "auto"

BY_SUFFIX = {".index": "tensorflow", ".pb": "tensorflow", ".tflite": "tflite"}
"""Files that one system alone writes."""


def sources() -> list[str]:
    """The names of the systems, sorted."""
    return catalog.offering("weights", "convert")


def convert(
    path: str | Path,
    *,
    source: str = AUTO,
    output_stride: int | None = None,
    classes: tuple[str, ...] | None = None,
) -> Conversion:
    """The model in another system's file; its `training` tells the system as "source".

    Args:
        source: One of `sources()`; "auto" takes the one that can read the file and finds a place for each tensor.
        output_stride: As in `Source.convert`.
        classes: Their names, in the order of the network's outputs; None: those of the file, else by their number.

    Raises:
        InputNotFoundError: There is no such file.
        UnknownNameError: No such source.
        CheckpointError: The file cannot be read, or is of none of the sources.
        SettingsError: Not as many names as classes.
    """
    conversion = _convert(path, source=source, output_stride=output_stride)
    return conversion if classes is None else with_names(conversion, classes, what=str(path))


def _convert(path: str | Path, *, source: str, output_stride: int | None) -> Conversion:
    path = checkpoint_file(Path(path))
    if not path.exists():
        raise InputNotFoundError(
            f"no checkpoint file {path}; wanted the path of one of PyTorch (.pth, .safetensors ...) or TensorFlow "
            "(.index, .pb, .tflite)"
        )
    if what := not_weights(path):
        raise CheckpointError(f"{path}: {what}")
    if checkpoints.is_ours(path):
        raise CheckpointError(
            f"{path}: a model file of ours already; use it as it is: deeplab segment photo.jpg --model {path}"
        )
    wanted = BY_SUFFIX.get(path.suffix, source)
    if source in sources() and source != wanted:
        raise CheckpointError(f"{path}: a file of {wanted}, not of {source}; use --source {wanted}")
    source = wanted if source == AUTO else source
    with read_once():
        try:
            return _converted_by_any(path, output_stride) if source == AUTO else _converted(source, path, output_stride)
        except UnreadableError:
            raise
        except CheckpointError as error:
            backbone = backbone_in(path)
            if backbone is None:
                raise
            raise CheckpointError(
                f"{path}: {backbone} that classifies images, no segmentation; "
                f"train from it: deeplab train DATA --backbone {backbone} --weights {path}"
            ) from error


def _converted_by_any(path: Path, output_stride: int | None) -> Conversion:
    known, refused, unreadable = sources(), {}, None
    for name in known:
        try:
            return _converted(name, path, output_stride)
        except UnreadableError as error:
            unreadable = error
        except CheckpointError as error:
            refused[name] = error
    if unreadable is not None:
        raise unreadable
    names_known = {name: _names_known(name, path) for name in refused}
    nearest = max(refused, key=names_known.__getitem__)
    if not names_known[nearest]:
        raise CheckpointError(f"{path}: of none of the systems that we read ({', '.join(known)})")
    reason = str(refused[nearest]).removeprefix(f"{path}: ")
    raise CheckpointError(
        f"{path}: of none of the systems that we read; the nearest is {nearest}: {reason}"
    ) from refused[nearest]


def _names_known(source: str, path: Path) -> int:
    """How many of the tensors' names in a file that it refused fit one of a system's rules."""
    system: Source | None = getattr(_module(source), "source", None)
    try:
        names = list(system.read(path)) if system else []
    except CheckpointError:
        names = []
    if system is None or not names:
        return 0
    rules = system.rules(names) if callable(system.rules) else system.rules
    pattern = re.compile("|".join((*(theirs for theirs, _ in rules), *system.left_behind)))
    return sum(bool(pattern.match(name)) for name in names)


def _converted(source: str, path: Path, output_stride: int | None) -> Conversion:
    if source not in sources():
        raise unknown_name("source", source, [*sources(), AUTO])
    found: Conversion = _module(source).convert(path, output_stride=output_stride)
    training = {**found.checkpoint.training, "source": source}
    return replace(found, checkpoint=replace(found.checkpoint, training=training))


def _module(source: str) -> ModuleType:
    return importlib.import_module(f"deeplab.weights.{source}")
