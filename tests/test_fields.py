"""What an option is, apart from those that the commands have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from deeplab._fields import Settings, argument, build, in_words, option
from deeplab.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class Walk(Settings):
    """Settings of these tests."""

    dog: str = argument("The dog.", metavar="DOG")
    legs: int = option(4, "How many it has.", at_least=3, at_most=4)
    pace: Literal["slow", "fast"] = option("slow", "How it goes.")


def test_what_is_not_given_has_its_default_and_what_is_text_its_type() -> None:
    assert build(Walk, {"dog": "Rex", "legs": "3"}) == Walk(dog="Rex", legs=3, pace="slow")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, "dog is missing: The dog."),
        ({"dog": "Rex", "leg": 3}, "no option 'leg'; did you mean legs?"),
        ({"dog": "Rex", "legs": 2}, "legs wants a whole number (at least 3, at most 4), got 2"),
        ({"dog": "Rex", "pace": "mad"}, "pace wants slow or fast, got 'mad'"),
    ],
)
def test_what_cannot_work_is_told_in_one_line(values: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        build(Walk, values)
    assert str(caught.value) == told


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (int | None, "a whole number"),
        (Literal["max", "mean"], "max or mean"),
        (tuple[int, ...], "whole numbers with commas between"),
        (tuple[float, float], "two numbers with a comma between"),
        (Sequence[int], "whole numbers, as a list"),
        (Literal["cityscapes"] | Sequence[Mapping[str, Any]], "cityscapes or mappings of names to values, as a list"),
    ],
)
def test_a_type_is_told_in_words(annotation: Any, words: str) -> None:
    assert in_words(annotation) == words
