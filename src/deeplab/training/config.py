"""config.yaml: every value of a run with the reason for it, read back by `--config` and by a run that is resumed.

Nothing heavy is imported here, for the command line reads it before torch loads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from deeplab._optional import require
from deeplab.errors import InputNotFoundError, SettingsError
from deeplab.files import written_aside
from deeplab.settings import TrainSettings, build, laid_over
from deeplab.training.recipes import RECIPES, with_recipe

__all__ = ["CONFIG", "PLACES", "check_same_run", "read", "with_config", "write"]

CONFIG = "config.yaml"
"""In the folder of the run."""

PLACES = ("data", "output", "config", "resume", "doctor", "device", "workers", "logger", "on_nan")
"""Settings that say where and how, not what: free to change when a run is resumed, not told by its model."""


def with_config(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a training over those in its YAML file, `config` or that of the run which it resumes, and those
    over the ones of its `recipe`.

    Raises:
        InputNotFoundError: There is no such file.
        SettingsError: It is no mapping of options, or one of them does not exist or cannot work.
        UnknownNameError: There is no such recipe.
    """
    path = Path(options["config"]) if options.get("config") else None
    if path is None and options.get("resume"):
        path = build(TrainSettings, {"data": ".", **options}).output / CONFIG
        if not path.is_file() and not options.get("data"):
            raise SettingsError(f"no run lies in {path.parent}, which has no {path.name}; name that of one by --output")
        path = path if path.is_file() else None
    if path is not None:  # which says all options: the recipe that is given goes over them
        values = _options_in(path)
        shared: dict[str, Any] = {name: values[name] for name in ("devices", "nodes") if name in values}
        options = laid_over(values, with_recipe({**shared, **options}))
    return with_recipe(options)


def write(path: Path, settings: TrainSettings, reasons: Mapping[str, str]) -> None:
    """Write every value as YAML with its reason behind it, if it was chosen; `deeplab train --config` reads it back."""
    yaml = require("yaml", extra="train")
    defaults = {option.name: option.default for option in fields(settings)}
    theirs = build(TrainSettings, with_recipe({"data": ".", "recipe": settings.recipe, "devices": settings.processes}))
    lines = []
    for name, value in settings.as_dict().items():
        if name in ("config", "resume"):
            continue
        reason = "default" if getattr(settings, name) == defaults[name] else "given"
        if settings.recipe is not None and name in RECIPES[settings.recipe].options:
            reason = f"as {settings.recipe}" if getattr(settings, name) == getattr(theirs, name) else "given"
        reason = reasons.get(name, reason)
        text = yaml.safe_dump([value], default_flow_style=True, width=10_000, allow_unicode=True).strip()
        lines.append(f"{name}: {text[1:-1]}  # {reason}\n")
    with written_aside(path) as aside:
        aside.write_text("".join(lines), encoding="utf-8")


def read(path: Path) -> dict[str, Any]:
    """The values of a run that stay when it is resumed, from its config.yaml."""
    return {name: value for name, value in _parsed(path).items() if name not in PLACES}


def check_same_run(before: Mapping[str, Any], settings: TrainSettings) -> None:
    """Raise SettingsError where a resumed run would go on with other values than it had `before`."""
    given = settings.as_dict()
    for name, value in before.items():
        if name in given and given[name] != value:
            option = f"--{name.replace('_', '-')}"
            raise SettingsError(
                f"{option} is {given[name]} but the run in {settings.output} has {value}; "
                f"resume it without {option}, or start another --output"
            )


def _options_in(path: Path) -> dict[str, Any]:
    """The options of a training in a YAML file. Raises as `with_config`."""
    values = _parsed(path)
    try:
        build(TrainSettings, {"data": ".", **values})
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from error
    return values


def _parsed(path: Path) -> dict[str, Any]:
    yaml = require("yaml", extra="train")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputNotFoundError(f"{path}: no such file; wanted a YAML file of training options") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"{path}: not readable as YAML ({' '.join(str(error).split())})") from error
    if not isinstance(values, dict):
        raise SettingsError(f"{path}: wanted lines such as 'epochs: 50', got {type(values).__name__}")
    return values
