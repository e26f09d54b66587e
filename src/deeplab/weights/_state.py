"""The weights in another system's PyTorch file: tensors by name. No code in it is run."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from deeplab.errors import CheckpointError, InputNotFoundError
from deeplab.weights._pickled import NUMPY, NUMPY_TYPES, read_pickle

WRAPPERS = ("state_dict", "model_state", "model_state_dict", "model")
"""Keys under which training scripts keep the weights in their checkpoints."""


class UnreadableError(CheckpointError):
    """The file is not one of weights, whatever the system."""


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors in a PyTorch, pickle or safetensors file by name, without "module." before it. No code of it is run.

    Of a training script's checkpoint those of the model itself, not of its running mean (EMA) beside it.

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
