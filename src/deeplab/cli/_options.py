"""Flags from settings: a command's parameters are the fields of its dataclass, with their help."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import typer

from deeplab import catalog, weights
from deeplab._fields import UNIONS, is_required
from deeplab.errors import unknown_name
from deeplab.settings import CRF_ALONE, CRFPreset, Settings, build, names_crf
from deeplab.training.config import with_config
from deeplab.training.recipes import RECIPES

_S = TypeVar("_S", bound=Settings)

LISTED = {"{sources}": ("weights", "convert"), "{formats}": ("data/formats", "read")}
"""In a help text: the files of this package that offer this name."""

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
"""Read by `deeplab.__main__` from the command line as it is; the commands only list it."""

Json = Annotated[bool, typer.Option("--json", help="Print the figures as one JSON object in the last line.")]


def command(kind: type[_S], function: Callable[..., None]) -> Callable[..., None]:
    """A function for typer that makes the settings from flags and calls `function` with them.

    Its parameters are the fields of `kind`, then the keywords of `function`. A flag that is not given stays
    out, so that the default is said in one place only.
    """
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]  # without the settings
    types = get_type_hints(kind)
    has_config = "config" in types

    def callback(debug: bool, **given: Any) -> None:
        keywords = {parameter.name: given.pop(parameter.name) for parameter in own}
        values = {name: value for name, value in given.items() if value not in (None, [])}
        function(build(kind, with_config(values) if has_config else values), **keywords)

    flags = [_parameter(option, types[option.name], has_config=has_config) for option in fields(kind)]
    debug = inspect.Parameter("debug", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Debug)
    parameters = [*flags, *own, debug]
    callback.__doc__ = function.__doc__
    callback.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    callback.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return callback


def completed(arguments: Sequence[str]) -> list[str]:
    """The command line with `--crf` as `--crf=VALUE`: alone it has one too, and an input may come right after it.

    What follows is its value if it is the name of a preset or of a .json file, even where a file of that name exists
    (`./v1` is the file). Else it is another argument: what exists, a shipped model, or what has a dot, a slash or a
    sign of a pattern, as no preset's name has. A plain word that is none of these was meant as a preset.

    Raises:
        UnknownNameError: Such a word.
    """
    found: list[str] = []
    rest = list(arguments)
    while rest and rest[0] != "--":
        argument = rest.pop(0)
        if argument == "--crf":
            argument += f"={rest.pop(0) if rest and _is_of_crf(rest[0]) else CRF_ALONE}"
        found.append(argument)
    return found + rest


def _is_of_crf(word: str) -> bool:
    """Whether the word after `--crf` is its value. Raises UnknownNameError."""
    if names_crf(word):
        return True
    if re.fullmatch(r"\w[\w-]*", word) and not Path(word).exists() and word not in weights.shipped():
        raise unknown_name("file, folder or CRF preset", word, get_args(CRFPreset))
    return False


def _parameter(option: Field[Any], annotation: Any, *, has_config: bool) -> inspect.Parameter:
    """The field as a parameter for typer: text, which the settings convert, or a switch; None: not given."""
    kind: Any = str
    info: Any
    default = None
    flag = "--" + option.name.replace("_", "-")
    metavar = option.metadata["metavar"] or _metavar(annotation)
    if option.metadata.get("placed"):
        kind = list[str] if tuple in (get_origin(annotation), *map(get_origin, get_args(annotation))) else str
        info = typer.Argument(metavar=metavar, help=_help(option), show_default=False)
        default = inspect.Parameter.empty if is_required(option) and not has_config else None  # the file may have it
    elif annotation in (bool, bool | None):
        kind = bool
        if option.default or has_config:  # what is on, here or in the file, can be put off
            flag += f"/--no-{flag[2:]}"
        info = typer.Option(flag, help=_help(option), show_default=False)
    else:
        info = typer.Option(flag, metavar=metavar, help=_help(option), show_default=False)
    kind = kind | None if default is None else kind
    return inspect.Parameter(
        option.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, info]
    )


def _help(option: Field[Any]) -> str:
    """The help text, what is listed in it named, and, where there is one, the default as it is typed."""
    text = str(option.metadata["help"]).replace("{recipes}", ", ".join(RECIPES))
    for listed, (package, name) in LISTED.items():
        if listed in text:
            text = text.replace(listed, ", ".join(catalog.offering(package, name)))
    default = option.metadata["shown"] or option.default
    if any(default is nothing for nothing in (None, False, MISSING)):
        return text
    typed = ",".join(map(str, default)) if isinstance(default, tuple) else "on" if default is True else default
    return f"{text}  [default: {typed}]"


def _metavar(annotation: Any) -> str:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin in UNIONS:
        return _metavar(parts[0])
    if origin is Literal:
        return "|".join(map(str, parts))
    if origin is tuple:
        return f"{_metavar(parts[0])},..."
    return {int: "N", float: "X", str: "NAME", Path: "PATH", bool: ""}[annotation]
