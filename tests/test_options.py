"""docs/options.md says what the code says."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from deeplab import catalog, models, settings

PAGE = Path(__file__).parents[1] / "docs" / "options.md"
ROWS = re.findall(r"^\|.*\| `(\w+)` \| `(\w+)` \| `(.*)` \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


def defaults_of(place: str) -> dict[str, Any]:
    kinds = {
        "train": settings.TrainSettings,
        "segment": settings.SegmentSettings,
        "evaluate": settings.EvaluateSettings,
    }
    if place in kinds:
        return {option.name: option.default for option in fields(kinds[place])}
    package = "models" if place in catalog.entries("models") else "backbones"
    function = models.create_model if place == "create_model" else catalog.builder(package, place)
    return {name: parameter.default for name, parameter in inspect.signature(function).parameters.items()}


def test_the_page_has_rows() -> None:
    assert len(ROWS) > 40


@pytest.mark.parametrize(("option", "place", "default"), ROWS)
def test_every_option_of_the_official_code_has_this_name_and_this_default(
    option: str, place: str, default: str
) -> None:
    assert repr(defaults_of(place)[option]) == default
