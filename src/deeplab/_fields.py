"""What an option of a command is: a field of a dataclass with its help text, its type, its bounds and their words.

`settings.py` has the options themselves.
"""

from __future__ import annotations

import difflib
import inspect
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, asdict, dataclass, field, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from deeplab.errors import SettingsError

_S = TypeVar("_S", bound="Settings")
_Call = TypeVar("_Call", bound=Callable[..., Any])

UNIONS = (UnionType, Union)
"""What `X | None` is, and what `Literal[...] | None` is before Python 3.14."""


def build(kind: type[_S], values: Mapping[str, Any]) -> _S:
    """The settings of this `kind` from names and values, as they come from keywords, flags or a file.

    Raises:
        SettingsError: A name that is no option (with the nearest ones), a missing one, or a value that
            cannot work.
    """
    known = {option.name: option for option in fields(kind)}
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=3)
            hint = f"did you mean {', '.join(near)}?" if near else f"there are {', '.join(known)}"
            raise SettingsError(f"no option '{name}'; {hint}")
    for name, option in known.items():
        if name not in values and is_required(option):
            raise SettingsError(f"{name} is missing: {option.metadata['help']}")
    return kind(**values)


def takes(kind: type[Settings]) -> Callable[[_Call], _Call]:
    """Decorate a function of `**options` so that its signature shows the fields of `kind` in their place."""

    def show(function: _Call) -> _Call:
        signature = inspect.signature(function)
        own = [item for item in signature.parameters.values() if item.kind is not item.VAR_KEYWORD]
        names = [item.name for item in own]
        shown = [
            inspect.Parameter(item.name, inspect.Parameter.KEYWORD_ONLY, default=item.default, annotation=item.type)
            for item in fields(kind)
            if item.name not in names and not is_required(item)
        ]
        signature = signature.replace(parameters=[*own, *shown])
        function.__signature__ = signature  # type: ignore[attr-defined]
        return function

    return show


def option(
    default: Any,
    help: str,
    *,
    metavar: str | None = None,
    shown: str | None = None,
    alone: str | None = None,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
) -> Any:
    """A field with its help text and, where the help says something else than the value, its `shown` default.

    Args:
        alone: What the bare flag stands for, and True in Python, where False is None.
        at_least, above, at_most: Hold for each number of the field.
    """
    bounds = {"at_least": at_least, "above": above, "at_most": at_most}
    return field(default=default, metadata={"help": help, "metavar": metavar, "shown": shown, "alone": alone, **bounds})


def argument(help: str, *, metavar: str, default: Any = MISSING, shown: str | None = None) -> Any:
    """A field that is given by its place on the command line, and has to be unless there is a default."""
    return field(default=default, metadata={"help": help, "metavar": metavar, "shown": shown, "placed": True})


def is_required(option: Field[Any]) -> bool:
    """Whether this field has no default."""
    return option.default is MISSING


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Turns every field into its annotated type ("0.75,1" into (0.75, 1.0)), or refuses the value."""

    def __post_init__(self) -> None:
        types = get_type_hints(type(self))
        for option in fields(self):
            value = _converted(option, types[option.name], getattr(self, option.name))
            object.__setattr__(self, option.name, value)

    def part(self, kind: type[Settings]) -> dict[str, Any]:
        """Those options that `kind` has too, by name."""
        return {option.name: getattr(self, option.name) for option in fields(kind)}

    def as_dict(self) -> dict[str, Any]:
        """The options as plain values (paths as text, tuples as lists), fit for YAML and JSON."""
        return {name: _plain(value) for name, value in asdict(self).items()}  # `build` takes them back


def in_words(annotation: Any, *, one_for_both: bool = False) -> str:
    """A type in words, for what an error says is wanted; with `one_for_both` one value may stand for two."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin in UNIONS:
        return " or ".join(in_words(part, one_for_both=one_for_both) for part in parts if part is not NoneType)
    if origin is Literal:
        return " or ".join(map(str, parts))
    if origin is Mapping:
        return 'names and values, as in {"multi_grid": [1, 2, 4]}'
    if origin is Sequence:
        return f"{_plural(parts[0])}, as a list"
    if origin is tuple:
        plural = _plural(parts[0])
        if parts[-1] is Ellipsis:
            return f"{plural} with commas between"
        return f"one or two {plural}" if one_for_both else f"two {plural} with a comma between"
    return _WORDS[annotation]


def mapping_entries(mapping: Mapping[str, str | Sequence[str]]) -> tuple[str, ...]:
    """A mapping as texts: {"vehicle": ["car", "bus"]} is ("vehicle=car|bus",)."""
    return tuple(f"{name}={each if isinstance(each, str) else '|'.join(each)}" for name, each in mapping.items())


def _converted(option: Field[Any], annotation: Any, value: Any) -> Any:
    """`value` as the annotated type and within the bounds. Raises SettingsError."""
    if option.metadata.get("alone") and isinstance(value, bool):
        value = option.metadata["alone"] if value else None
    try:
        converted = _as_type(annotation, value, one_for_both=_one_for_both(option))
        fits = all(_is_within(number, option.metadata) for number in _numbers(converted))
    except (ValueError, TypeError):
        fits = False
    if not fits:
        wanted = in_words(annotation, one_for_both=_one_for_both(option)) + _bounds(option.metadata)
        raise SettingsError(f"{option.name} wants {wanted}, got {value!r}")
    return converted


def _one_for_both(option: Field[Any]) -> bool:
    """Whether one number may stand for two, as SIDE|HEIGHT,WIDTH says."""
    return "|" in (option.metadata["metavar"] or "")


def _as_type(annotation: Any, value: Any, *, one_for_both: bool = False) -> Any:
    """`value` as the type `annotation`; ValueError or TypeError unless that is clear beyond doubt."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin in UNIONS:
        return None if value is None else _as_type(parts[0], value, one_for_both=one_for_both)
    if origin is Literal:
        return {str(choice): choice for choice in parts}.get(str(value)) or _refuse(value)
    if origin is tuple:
        return _as_tuple(parts, value, one_for_both=one_for_both)
    if origin is Mapping:
        return _as_mapping(value)
    if annotation is bool:
        return value if isinstance(value, bool) else _refuse(value)
    if value is None or isinstance(value, bool) or value == "":
        return _refuse(value)
    if annotation in (str, Path):
        return annotation(os.fspath(value))
    number = float(value)  # text too: YAML reads 5e-4 as text
    if annotation is float:
        return number if math.isfinite(number) else _refuse(value)
    return int(number) if number.is_integer() else _refuse(value)


def _as_tuple(parts: tuple[Any, ...], value: Any, *, one_for_both: bool) -> Any:
    if isinstance(value, Mapping):
        value = mapping_entries(value)
    items = [item.strip() for item in value.split(",")] if isinstance(value, str) else value
    items = list(items) if isinstance(items, (list, tuple)) else [items]
    open_ended = parts[-1] is Ellipsis
    if len(items) == 1 and one_for_both and not open_ended:
        items *= len(parts)  # a square crop, a fixed scale
    if not items or not (open_ended or len(items) == len(parts)):
        return _refuse(value)
    return tuple(_as_type(parts[0], item) for item in items)


def _as_mapping(value: Any) -> Any:
    mapping = json.loads(value) if isinstance(value, str) else value
    return dict(mapping) if isinstance(mapping, Mapping) else _refuse(value)


def _refuse(value: Any) -> Any:  # an expression that raises
    raise ValueError(value)


def _numbers(value: Any) -> Iterator[float]:
    for item in value if isinstance(value, tuple) else (value,):
        if isinstance(item, (int, float)) and not isinstance(item, bool):
            yield item


def _is_within(number: float, bounds: Mapping[str, Any]) -> bool:
    at_least, above, at_most = (bounds.get(name) for name in ("at_least", "above", "at_most"))
    return (
        (at_least is None or number >= at_least)
        and (above is None or number > above)
        and (at_most is None or number <= at_most)
    )


def _bounds(bounds: Mapping[str, Any]) -> str:
    """The bounds in words: " (at least 1)", or nothing."""
    words = [
        f"{name.replace('_', ' ')} {bounds[name]}"
        for name in ("at_least", "above", "at_most")
        if bounds.get(name) is not None
    ]
    return f" ({', '.join(words)})" if words else ""


def _plural(annotation: Any) -> str:
    origin = get_origin(annotation)
    return in_words(annotation) if origin is Literal else _PLURALS[origin or annotation]


_WORDS = {
    str: "a text",
    Path: "a path",
    bool: "true or false, without quotes",
    int: "a whole number",
    float: "a number",
}
_PLURALS = {str: "names", int: "whole numbers", float: "numbers", Mapping: "mappings of names to values"}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value
