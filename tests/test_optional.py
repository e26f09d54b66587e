"""A missing extra is one line with the command that brings it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deeplab._optional import require
from deeplab.errors import MissingExtraError


def test_an_installed_package_is_imported() -> None:
    assert require("json", extra="train") is json


def test_a_missing_package_is_named_with_the_line_to_run() -> None:
    with pytest.raises(MissingExtraError) as caught:
        require("no_such_package.part", extra="onnx")
    assert str(caught.value) == "no_such_package is not installed; run: pip install 'deeplab[onnx]'"


def test_a_package_that_does_not_import_is_not_called_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_package.py").write_text("import no_such_part_of_it")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingExtraError, match=r"broken_package does not import .*no_such_part_of_it.*--upgrade"):
        require("broken_package", extra="train")


def test_it_is_an_import_error() -> None:
    with pytest.raises(ImportError):
        require("no_such_package", extra="train")
