"""numba where it is installed; a kernel asks `COMPILES` and else takes its numpy reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

try:
    import numba

    COMPILES = True
except ImportError:  # no wheel for this Python, or none that fits the numpy that is here
    COMPILES = False

_F = TypeVar("_F", bound=Callable[..., Any])


def njit(function: _F) -> _F:
    """Compile `function` on its first call, keep that on disk, and run it without the interpreter's lock."""
    if not COMPILES:
        return function
    try:
        return cast(_F, numba.njit(nogil=True, cache=True)(function))
    except RuntimeError:  # no folder that can be written to: compile anew in each process
        return cast(_F, numba.njit(nogil=True)(function))
