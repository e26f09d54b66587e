"""A model on disk: one .safetensors file with weights, constructor arguments, classes, palette and preprocessing.

Nothing is unpickled: the tensors are plain arrays, the rest is JSON in the file's metadata.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import Tensor

from deeplab.errors import CheckpointError, DeepLabError, InputNotFoundError
from deeplab.files import written_aside
from deeplab.models import SegmentationModel, create_model
from deeplab.weight_files import not_weights

__all__ = ["Checkpoint", "Preprocessing", "is_ours", "load", "save"]

FORMAT = 1
"""Raised when a file of an older version of this package can no longer be read by the same code."""

VALUES = ".values"
"""How the name ends of a tensor's different values, where it is stored as their numbers."""

LARGE = 2048
"""Values of a tensor; below, little space would be won."""


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes the network's input; means, padding and corner convention are the model's arguments."""

    long_side: int | None = None
    """Pixels to which the image's longer side is scaled first; None: it is left as it is."""


@dataclass(frozen=True)
class Checkpoint:
    """A model with all that is needed to use it."""

    model: SegmentationModel
    classes: tuple[str, ...]
    palette: NDArray[np.uint8]
    """(num_classes, 3), RGB."""
    preprocessing: Preprocessing = Preprocessing()
    training: Mapping[str, Any] = field(default_factory=dict)
    """What is known of how the weights came to be: data, settings, scores."""


def save(path: str | Path, checkpoint: Checkpoint, *, half: bool = False) -> None:
    """Write `checkpoint` to `path`, aside and then renamed.

    Args:
        half: Store large tensors in half precision, in half the space; they are float32 again once loaded. Those of
            at most 256 values, as a converted 8-bit model has them, are kept exactly, in a quarter of the space.

    Raises:
        OutputError: The file cannot be written.
    """
    model = checkpoint.model
    description = {
        "format": FORMAT,
        "model": model.entry,
        "arguments": model.arguments,
        "classes": list(checkpoint.classes),
        "palette": np.asarray(checkpoint.palette).tolist(),
        "preprocessing": asdict(checkpoint.preprocessing),
        "training": dict(checkpoint.training),
    }
    # as bytes: safetensors' own save_file leaves a file that only its owner may read
    content = serialize(_to_disk(model.state_dict(), half=half), {"deeplab": json.dumps(description)})
    with written_aside(Path(path)) as temporary:
        temporary.write_bytes(content)


def load(path: str | Path) -> Checkpoint:
    """Read a model file; the model is on the CPU, in float32, in evaluation mode.

    Raises:
        InputNotFoundError: There is no such file.
        CheckpointError: It is damaged, is no model of ours, or is not the model that it says it is.
    """
    path = Path(path)
    if not path.exists():
        raise InputNotFoundError(f"no model file {path}; 'deeplab models' lists the names that need no file")
    try:
        if what := not_weights(path):
            raise CheckpointError(f"{path}: {what}")
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = _from_disk({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118 (no mapping)
    except SafetensorError as error:
        if path.suffix != ".safetensors":
            raise CheckpointError(f"{path}: no model file of ours; convert it: deeplab convert {path}") from error
        raise CheckpointError(
            f"{path}: not a complete .safetensors file ({error}); copy or download it again, or make one of another "
            "system's checkpoint with 'deeplab convert'"
        ) from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); check its permissions") from error
    if "deeplab" not in metadata:
        raise CheckpointError(
            f"{path}: weights without a description of their model; only files that deeplab wrote load, and "
            "'deeplab convert' makes one of another system's"
        )
    try:
        loaded = _described(json.loads(metadata["deeplab"]))
    except DeepLabError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except Exception as error:  # whatever the constructors make of values that somebody else wrote
        raise CheckpointError(
            f"{path}: a description that does not hold together ({type(error).__name__}: {error}); get the file anew"
        ) from error
    _load_state(loaded.model, state, path)
    return loaded


def is_ours(path: str | Path) -> bool:
    """Whether `save` wrote this file."""
    try:
        with safe_open(path, framework="pt") as file:
            return "deeplab" in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def _described(description: dict[str, Any]) -> Checkpoint:
    """What the file describes, with random weights."""
    if description["format"] > FORMAT:
        raise CheckpointError(f"written by a newer deeplab (format {description['format']}); upgrade deeplab")
    model = create_model(description["model"], **description["arguments"])
    classes = tuple(description["classes"])
    palette = _palette(description["palette"], model.arguments["num_classes"])
    if len(classes) != len(palette):
        raise CheckpointError(f"{len(classes)} class names for {len(palette)} classes")
    return Checkpoint(
        model=model.eval(),
        classes=classes,
        palette=palette,
        preprocessing=Preprocessing(**description["preprocessing"]),
        training=description["training"],
    )


def _to_disk(state: Mapping[str, Tensor], *, half: bool) -> dict[str, Tensor]:
    """The tensors as they are stored: on the CPU, contiguous, without BatchNorm's batch counters."""
    stored = {}
    for name, tensor in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        tensor = tensor.detach().cpu().contiguous()
        if half and tensor.is_floating_point() and tensor.numel() >= LARGE:
            if tensor.dtype == torch.float32 and (values := _few_values(tensor)) is not None:
                stored[name + VALUES] = values
                tensor = torch.searchsorted(values, tensor).to(torch.uint8)
            elif tensor.abs().max() < torch.finfo(torch.float16).max:
                tensor = tensor.half()
        stored[name] = tensor
    return stored


def _from_disk(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a file; numbers without a value stay what they are, which no model has."""
    tensors = dict(stored)
    for name in [name.removesuffix(VALUES) for name in stored if name.endswith(VALUES)]:
        numbers, values = stored.get(name), stored[name + VALUES]
        if numbers is None or numbers.dtype != torch.uint8 or not numbers.numel() or values.ndim != 1:
            continue
        if int(numbers.max()) < len(values):
            tensors[name] = tensors.pop(name + VALUES)[numbers.long()]
    return tensors


def _few_values(tensor: Tensor) -> Tensor | None:
    """The values of a tensor in order, if a byte can number them."""
    array = tensor.numpy()
    if len(np.unique(array.flat[:LARGE])) > 256:  # most have, and need not be sorted
        return None
    values = np.unique(array)
    return torch.from_numpy(values) if len(values) <= 256 and np.isfinite(values).all() else None


def _load_state(model: SegmentationModel, state: Mapping[str, Tensor], path: Path) -> None:
    expected = {name: t for name, t in model.state_dict().items() if not name.endswith("num_batches_tracked")}
    for name in [*expected, *state]:
        found, wanted = state.get(name), expected.get(name)
        if found is None or wanted is None or found.shape != wanted.shape:
            raise CheckpointError(
                f"{path}: tensor {name} is {_shape(found)} in the file and {_shape(wanted)} in {model.entry}; "
                "the file is not the model that it describes"
            )
        if not torch.isfinite(found).all():
            raise CheckpointError(f"{path}: tensor {name} has values that are not finite; train or convert it again")
    model.load_state_dict({name: tensor.float() for name, tensor in state.items()}, strict=False)


def _shape(tensor: Tensor | None) -> str:
    return "absent" if tensor is None else " x ".join(map(str, tensor.shape)) or "a number"


def _palette(rows: Sequence[Sequence[int]], num_classes: int) -> NDArray[np.uint8]:
    palette = np.array(rows, dtype=np.uint8)
    if palette.shape != (num_classes, 3):
        raise CheckpointError(f"palette of shape {palette.shape}; {num_classes} classes need ({num_classes}, 3)")
    return palette
