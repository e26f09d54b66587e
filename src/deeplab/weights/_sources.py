"""The systems whose checkpoints are read: each public file of this folder that offers `convert`."""

from __future__ import annotations

import importlib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from safetensors import SafetensorError, safe_open

from deeplab import catalog
from deeplab.errors import CheckpointError, InputNotFoundError, unknown_name
from deeplab.files import not_weights
from deeplab.weights._source import Conversion
from deeplab.weights._state import UnreadableError

AUTO = "auto"

BY_SUFFIX = {".index": "tensorflow", ".pb": "tensorflow", ".tflite": "tflite"}
"""Files that one system alone writes."""


def sources() -> list[str]:
    """The names of the systems, sorted."""
    return catalog.offering("weights", "convert")


def convert(path: str | Path, *, source: str = AUTO, output_stride: int | None = None) -> Conversion:
    """The model in another system's file; its `training` tells the system as "source".

    Args:
        source: One of `sources()`; "auto" takes the one that can read the file and finds a place for each tensor.
        output_stride: As in `Source.convert`.

    Raises:
        InputNotFoundError: There is no such file.
        UnknownNameError: No such source.
        CheckpointError: The file cannot be read, or is of none of the sources.
    """
    path, known = Path(path), sources()
    index = path.with_name(f"{path.name}.index")
    if not path.is_file() and index.is_file():  # TensorFlow names a checkpoint by what its files have in common
        path = index
    if not path.exists():
        raise InputNotFoundError(f"no checkpoint file {path}")
    if what := not_weights(path) or _ours_already(path):
        raise CheckpointError(f"{path}: {what}")
    source = BY_SUFFIX.get(path.suffix, source) if source == AUTO else source
    if source != AUTO:
        if source not in known:
            raise unknown_name("source", source, [*known, AUTO])
        return _converted(source, path, output_stride)
    unreadable = None
    for name in known:
        try:
            return _converted(name, path, output_stride)
        except UnreadableError as error:
            unreadable = error
        except CheckpointError:
            continue
    if unreadable is not None:
        raise unreadable
    raise CheckpointError(
        f"{path}: none of the systems that we read ({', '.join(known)}); name one by --source to see what is wrong"
    )


def _ours_already(path: Path) -> str | None:
    with suppress(SafetensorError), safe_open(path, framework="pt") as file:
        if "deeplab" in (file.metadata() or ()):
            return f"a model file of ours already; use it as it is: deeplab segment photo.jpg --model {path}"
    return None


def _converted(source: str, path: Path, output_stride: int | None) -> Conversion:
    module = importlib.import_module(f"deeplab.weights.{source}")
    found: Conversion = module.convert(path, output_stride=output_stride)
    training = {**found.checkpoint.training, "source": source}
    return replace(found, checkpoint=replace(found.checkpoint, training=training))
