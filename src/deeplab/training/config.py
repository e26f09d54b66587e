"""config.yaml: every value of a run with the reason for it, and whether a resumed run goes on with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from deeplab.errors import SettingsError
from deeplab.files import written_aside
from deeplab.settings import TrainSettings, build
from deeplab.training.recipes import RECIPES, with_recipe

__all__ = ["PLACES", "check_same_run", "read", "write"]

PLACES = ("data", "output", "config", "resume", "doctor", "device", "workers", "logger", "on_nan")
"""Settings that say where and how, not what: free to change when a run is resumed, not told by its model."""


def write(path: Path, settings: TrainSettings, reasons: Mapping[str, str]) -> None:
    """Write every value as YAML with its reason behind it, if it was chosen; `deeplab train --config` reads it back."""
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
    before = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {name: value for name, value in before.items() if name not in PLACES}


def check_same_run(path: Path, settings: TrainSettings) -> None:
    """Raise SettingsError where a resumed run would go on with other values than those in its config.yaml."""
    given = settings.as_dict()
    for name, value in read(path).items():
        if name in given and given[name] != value:
            option = f"--{name.replace('_', '-')}"
            raise SettingsError(
                f"{option} is {given[name]} but the run in {path.parent} has {value}; "
                f"resume it without {option}, or start another --output"
            )
