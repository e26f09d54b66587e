"""What an exported network is compared on where nothing is given."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from deeplab.evaluation import pictures


@pytest.mark.parametrize("matplotlib", ["missing", "without its photo"])
def test_made_up_pictures_need_no_photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, matplotlib: str) -> None:
    found = None if matplotlib == "missing" else SimpleNamespace(origin=str(tmp_path / "matplotlib" / "__init__.py"))
    monkeypatch.setattr("deeplab.evaluation.parity.find_spec", lambda _: found)
    images = [picture.image for picture in pictures(None, classes=(), wanted=None, split="", limit=8)]
    assert [image.shape for image in images] == [(301, 402, 3), (257, 513, 3)]
