"""What an exported network is compared on."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from deeplab.errors import DataError
from deeplab.evaluation import pictures


@pytest.mark.parametrize("matplotlib", ["missing", "without its photo"])
def test_made_up_pictures_need_no_photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, matplotlib: str) -> None:
    found = None if matplotlib == "missing" else SimpleNamespace(origin=str(tmp_path / "matplotlib" / "__init__.py"))
    monkeypatch.setattr("deeplab.evaluation.parity.find_spec", lambda _: found)
    images = [picture.image for picture in pictures(None, split="val", limit=8)]
    assert [image.shape for image in images] == [(301, 402, 3), (257, 513, 3)]


def test_masks_are_read_where_they_are_to_be_compared(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for folder in ("images", "masks"):
        (tmp_path / "train" / folder).mkdir(parents=True)
    Image.new("RGB", (20, 30)).save(tmp_path / "train/images/a.png")
    Image.new("L", (20, 30), 1).save(tmp_path / "train/masks/a.png")
    (tmp_path / "classes.txt").write_text("sky\nroad\n")
    (picture,) = pictures(tmp_path, classes=("sky", "road"), split="train", limit=8)
    assert picture.mask is not None
    assert np.all(picture.mask == 1)
    (picture,) = pictures(tmp_path, classes=("sea",), split="train", limit=8)
    assert picture.mask is None
    assert caplog.messages == [f"the masks of {tmp_path} are not compared: their classes are not those of the model"]
    Image.new("L", (20, 30), 9).save(tmp_path / "train/masks/a.png")
    with pytest.raises(DataError, match="label 9"):
        pictures(tmp_path, classes=("sky", "road"), split="train", limit=8)
    (picture,) = pictures(tmp_path, split="train", limit=8)
    assert (picture.image.shape, picture.mask, len(caplog.messages)) == ((30, 20, 3), None, 1)
