"""`deeplab models`"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import deeplab


def test_every_entry_is_listed_with_what_it_is(run: Callable[..., Any]) -> None:
    status, out, err = run("models", "--json")
    assert (status, err) == (0, "")
    found = json.loads(out.splitlines()[-1])
    assert list(found["models"]) == deeplab.list_models()
    assert list(found["backbones"]) == deeplab.list_backbones()
    assert list(found["weights"]) == deeplab.list_weights()
    assert all(text for entries in found.values() for text in entries.values())


def test_a_pipe_gets_one_line_per_entry(run: Callable[..., Any]) -> None:
    rows = [line.split("\t") for line in run("models").out.splitlines()]
    assert ["models", "deeplabv3plus"] in [row[:2] for row in rows]
    assert {len(row) for row in rows} == {3}


def test_backbones_of_one_file_are_told_apart(run: Callable[..., Any]) -> None:
    backbones = json.loads(run("models", "--json").out.splitlines()[-1])["backbones"]
    assert len(set(backbones.values())) == len(backbones)
