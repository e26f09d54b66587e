"""The folder is the registry: a lower-case name in the `__all__` of a file in `backbones/` or `models/` is an entry.

A file with `member` there is a family of entries: `FILE/NAME` is what its `member(NAME)` builds ("timm/resnet50").

Names are read from the source text, so that listing them imports nothing; only the file of the entry that is
built gets imported.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from numbers import Integral, Real
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from deeplab._fields import UNIONS, in_words
from deeplab.errors import SettingsError, unknown_name

LISTED = re.compile(r"^__all__ = (\[.*?\])", re.MULTILINE | re.DOTALL)
"""Of a file's text; to parse all of it takes longer than to build a network."""

MEMBER = "member"


@cache
def entries(package: str) -> dict[str, str]:
    """Entry name -> module name, of every public file in the sub-package `package` ("models", "backbones"), sorted."""
    folder = Path(__file__).parent / package
    modules = (file for file in folder.glob("*.py") if not file.stem.startswith("_"))
    found = {name: f"deeplab.{package}.{file.stem}" for file in modules for name in _public_names(file)}
    return {name: found[name] for name in sorted(found) if name.islower() and name != MEMBER}


def families(package: str) -> dict[str, str]:
    """What the entries of each family are called, such as "timm/NAME" -> module name, sorted."""
    return {f"{file}/NAME": f"deeplab.{package}.{file}" for file in offering(package, MEMBER)}


def offering(package: str, name: str) -> list[str]:
    """The public files of the sub-package `package` with `name` in their `__all__`, sorted."""
    files = (Path(__file__).parent / package).glob("*.py")
    return sorted(file.stem for file in files if not file.stem.startswith("_") and name in _public_names(file))


def module_of(package: str, name: str) -> str:
    """The module with the entry `name`; of a family, whether it has that member is not known before it is built.

    Raises:
        UnknownNameError: There is no such entry; the nearest names are said.
    """
    known = {**entries(package), **families(package)}
    family, _, member = name.partition("/")
    called = f"{family}/NAME" if member else name
    if called not in known:
        raise unknown_name(package.removesuffix("s"), name, known)
    return known[called]


def builder(package: str, name: str) -> Callable[..., Any]:
    """The builder function of the entry `name`. Raises as `module_of`."""
    module = importlib.import_module(module_of(package, name))
    _, _, member = name.partition("/")
    function: Callable[..., Any] = partial(getattr(module, MEMBER), member) if member else getattr(module, name)
    return function


def check_options(function: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Raise SettingsError for a value that is not of the type which the function's signature names."""
    for name, parameter in inspect.signature(function, eval_str=True).parameters.items():
        if name in options and not _fits(parameter.annotation, options[name]):
            raise SettingsError(f"{name} wants {in_words(parameter.annotation)}, got {options[name]!r}")


def _fits(kind: Any, value: Any) -> bool:
    origin, parts = get_origin(kind), get_args(kind)
    if origin in UNIONS:
        return any(_fits(part, value) for part in parts)
    if origin is Literal:
        return any(type(value) is type(choice) and value == choice for choice in parts)
    if origin is Sequence:
        return isinstance(value, list | tuple) and all(_fits(parts[0], item) for item in value)
    if origin is Mapping:
        return isinstance(value, Mapping)
    if kind is NoneType:
        return value is None
    if kind in (bool, str):
        return isinstance(value, kind)
    if kind is int:
        return isinstance(value, Integral) and not isinstance(value, bool)
    if kind is float:
        return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    return True


@cache
def _public_names(file: Path) -> list[str]:
    """What its `__all__` lists, read without importing it."""
    found = LISTED.search(file.read_text(encoding="utf-8"))
    return list(ast.literal_eval(found[1])) if found else []
