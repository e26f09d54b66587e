"""The weights in another system's PyTorch file: tensors by name. No code in it is run."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from deeplab.errors import CheckpointError, InputNotFoundError

WRAPPERS = ("state_dict", "model_state", "model_state_dict", "model")
"""Keys under which training scripts keep the weights in their checkpoints."""


class UnreadableError(CheckpointError):
    """The file is not one of weights, whatever the system."""


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors in a PyTorch or safetensors file by name, "module." before them removed.

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
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UnreadableError(
            f"{path}: holds more than tensors or is damaged, and is not opened; take a file with the state_dict alone"
        ) from error
    except Exception as error:  # on damaged bytes the unpickler raises nearly anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UnreadableError(f"{path}: cannot be read as PyTorch weights ({reason})") from error
    for wrapper in WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(wrapper), Mapping):
            found = found[wrapper]
    if not isinstance(found, Mapping) or not any(isinstance(value, Tensor) for value in found.values()):
        raise UnreadableError(f"{path}: no weights in it; wanted names and tensors, a state_dict")
    return {str(name).removeprefix("module."): value for name, value in found.items() if isinstance(value, Tensor)}
