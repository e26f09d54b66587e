"""The weights in another system's PyTorch file: tensors by name. No code in it is run."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
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

PREFIXES = ("module.", "_orig_mod.", "model.", "net.")
"""What DataParallel, torch.compile and training loops put before every name."""

COPY = re.compile(r"(module\.)?(state_dict_ema|model_ema|ema_state_dict|ema_model|ema)[._]")
"""How the names of a running mean (EMA) of the weights begin, beside the weights themselves or in their place."""

FOREIGN = (
    "argparse.Namespace",
    "builtins.dict",
    "builtins.getattr",
    "builtins.int",
    "builtins.list",
    "mmengine.logging.history_buffer.HistoryBuffer",
    *(f"{module}.{path}" for module in ("pathlib", "pathlib._local") for path in ("PosixPath", "WindowsPath")),
)
"""What training scripts keep beside the weights, such as their arguments, and mmengine its losses; none of it is
called, `Nothing` stands for it."""


class Nothing:
    """In the place of a value that is of no use here."""

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, _: Any) -> None:
        pass


def _plain_dict(*_: Any) -> dict[Any, Any]:
    """In the place of a `defaultdict`, whose items follow."""
    return {}


class UnreadableError(CheckpointError):
    """The file is not one of weights, whatever the system."""


_kept: ContextVar[dict[Path, Any] | None] = ContextVar("_kept", default=None)
"""What `read_once` keeps, by its file."""


@contextmanager
def read_once() -> Iterator[None]:
    """Inside the `with` a file is read once only, however many systems are tried on it."""
    kept = _kept.get()
    token = _kept.set({} if kept is None else kept)
    try:
        yield
    finally:
        _kept.reset(token)


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors in a PyTorch, pickle or safetensors file by name, without what training put around and before them.

    A running mean of the weights (EMA) beside them stays, under names that fit `COPY`; alone it is taken for them.

    Raises:
        InputNotFoundError: There is no such file.
        UnreadableError: It is damaged, holds more than tensors, or no weights.
    """
    return weights_in(read_content(path), path)


def read_content(path: Path) -> Any:
    """All that a PyTorch, pickle or safetensors file holds. Raises as `read_state`."""
    kept = _kept.get()
    if kept is None:
        return _read_content(path)
    if path not in kept:
        kept[path] = _read_content(path)
    return kept[path]


def _read_content(path: Path) -> Any:
    if not path.is_file():
        raise InputNotFoundError(f"no weights file {path}")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise UnreadableError(
                f"{path}: cannot be read as safetensors ({error}); copy or download it again"
            ) from error
    try:
        return _read_pickled(path)
    except pickle.UnpicklingError as error:
        raise UnreadableError(
            f"{path}: holds more than tensors or is damaged, and is not opened; take a file with the state_dict alone"
        ) from error
    except Exception as error:  # on damaged bytes the unpickler raises nearly anything
        reason = (str(error) or type(error).__name__).splitlines()[0].partition(". ")[0]
        raise UnreadableError(
            f"{path}: cannot be read as PyTorch weights ({reason}); copy or download it again"
        ) from error


def _read_pickled(path: Path) -> Any:
    """What torch.save or, in a .pkl, pickle itself wrote. Scores that training kept beside the weights are NumPy's."""
    if path.suffix == ".pkl":
        return read_pickle(path)
    named = {**NUMPY, **dict.fromkeys(FOREIGN, Nothing), "collections.defaultdict": _plain_dict}
    with torch.serialization.safe_globals([*((value, name) for name, value in named.items()), *NUMPY_TYPES]):
        return torch.load(path, map_location="cpu", weights_only=True)


def weights_in(found: Any, path: Path) -> dict[str, Tensor]:
    """The tensors in what `read_content` found, as `read_state`."""
    copies: dict[str, Any] = {}
    for _ in WRAPPERS:  # one in the other, as deep as there are
        if isinstance(found, Mapping):
            copies |= _copies(found)
            found = next((found[key] for key in WRAPPERS if isinstance(found.get(key), Mapping)), found)
    tensors = {str(name): value for name, value in (*_items(found), *copies.items()) if isinstance(value, Tensor)}
    if not tensors:
        raise UnreadableError(f"{path}: no weights in it; wanted names and tensors, a state_dict")
    own = {name: tensor for name, tensor in tensors.items() if not COPY.match(name)}
    if not own:
        return _without_prefix({COPY.sub("", name, count=1): tensor for name, tensor in tensors.items()})
    return {**_without_prefix(own), **{name: tensor for name, tensor in tensors.items() if name not in own}}


def _copies(found: Mapping[Any, Any]) -> dict[str, Any]:
    """The running means that lie beside the weights, under the key of each and their own names."""
    keys = [key for key in found if COPY.fullmatch(f"{key}.")]
    return {f"{key}.{name}": value for key in keys for name, value in _items(found[key])}


def _items(found: Any) -> Iterable[tuple[Any, Any]]:
    """Names and values, arrays as tensors."""
    for name, value in found.items() if isinstance(found, Mapping) else ():
        yield name, torch.from_numpy(value) if isinstance(value, np.ndarray) else value


def _without_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without the words of `PREFIXES` that every name of a layer begins with."""
    names = [name for name in tensors if "." in name]
    prefix = next((each for each in PREFIXES if names and all(name.startswith(each) for name in names)), None)
    if prefix is None:
        return tensors
    return _without_prefix({name.removeprefix(prefix): tensor for name, tensor in tensors.items()})
