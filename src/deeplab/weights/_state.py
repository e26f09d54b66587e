"""The weights in another system's PyTorch file: tensors by name. No code in it is run."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from deeplab.errors import CheckpointError, InputNotFoundError

WRAPPERS = ("state_dict", "model_state", "model_state_dict", "model")
"""Keys under which training scripts keep the weights in their checkpoints."""


FOREIGN = (
    "builtins.getattr",
    "mmengine.logging.history_buffer.HistoryBuffer",
    "numpy.core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy.ndarray",
    "numpy.dtype",
)
"""What training scripts keep beside the weights, as a best score; none of it is called, `Nothing` stands for it."""


class UnreadableError(CheckpointError):
    """The file is not one of weights, whatever the system."""


class Nothing:
    """In the place of a value that is no tensor and no plain one."""

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, _: Any) -> None:
        pass


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors in a PyTorch or safetensors file by name, "module." before them removed.

    Of a training script's checkpoint those of the model itself, not of its running mean (EMA) beside it.

    Raises:
        InputNotFoundError: There is no such file.
        UnreadableError: It is damaged, holds more than tensors, or no weights.
    """
    return state_in(read_content(path), what=str(path))


def read_content(path: Path) -> Any:
    """All that a PyTorch or safetensors file holds. Raises as `read_state`."""
    if not path.is_file():
        raise InputNotFoundError(f"no weights file {path}")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except SafetensorError as error:
            raise UnreadableError(f"{path}: cannot be read as safetensors ({error})") from error
    try:
        with torch.serialization.safe_globals([(Nothing, name) for name in FOREIGN]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UnreadableError(
            f"{path}: holds more than tensors or is damaged, and is not opened; take a file with the state_dict alone"
        ) from error
    except Exception as error:  # on damaged bytes the unpickler raises nearly anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UnreadableError(f"{path}: cannot be read as PyTorch weights ({reason})") from error


def state_in(content: Any, *, what: str) -> dict[str, Tensor]:
    """The tensors in a file's content, as `read_state`; `what` names it in an error. Raises UnreadableError."""
    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not any(isinstance(value, Tensor) for value in content.values()):
        raise UnreadableError(f"{what}: no weights in it; wanted names and tensors, a state_dict")
    return {str(name).removeprefix("module."): value for name, value in content.items() if isinstance(value, Tensor)}
