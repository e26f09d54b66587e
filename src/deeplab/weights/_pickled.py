"""NumPy inside pickles: what a file may name so that its arrays and numbers are read, and nothing else is called."""

from __future__ import annotations

import codecs
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["NUMPY", "NUMPY_TYPES", "read_pickle"]

_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
"""NumPy 1 and 2."""

NUMPY: dict[str, Any] = {
    **{f"{module}._reconstruct": np.zeros(0).__reduce__()[0] for module in _MODULES},
    **{f"{module}.scalar": np.float64(0).__reduce__()[0] for module in _MODULES},
    "numpy.ndarray": np.ndarray,
    "numpy.dtype": np.dtype,
    "_codecs.encode": codecs.encode,
}
"""What arrays and numbers are pickled as, by the names that pickles use."""

NUMPY_TYPES = tuple(dict.fromkeys(type(np.dtype(kind)) for kind in "?bBhHiIlLqQefd"))
"""Those of numbers."""


def read_pickle(path: Path) -> Any:
    """Containers, text, numbers and NumPy arrays in the pickle `path`.

    Raises:
        pickle.UnpicklingError: It holds something else, which is not made.
    """
    with path.open("rb") as file:
        return _Unpickler(file).load()


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        known = {**NUMPY, "collections.OrderedDict": OrderedDict}
        if f"{module}.{name}" not in known:
            raise pickle.UnpicklingError(f"{module}.{name} is neither an array nor a number")
        return known[f"{module}.{name}"]
