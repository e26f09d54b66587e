"""A small data set in the plain layout, made by code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

Write = Callable[[Path, NDArray[np.integer]], Path]


@pytest.fixture
def write() -> Write:
    """`write(path, array)`: save an array as an image file, with its folders."""

    def save(path: Path, array: NDArray[np.integer]) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(path)
        return path

    return save


@pytest.fixture
def root(tmp_path: Path, write: Write) -> Path:
    """Two training samples `a` and `b` of 6 x 8 pixels, three classes, one of them with a colour."""
    for stem in ("a", "b"):
        write(tmp_path / "train/images" / f"{stem}.png", np.full((6, 8, 3), 100, np.uint8))
        write(tmp_path / "train/masks" / f"{stem}.png", np.zeros((6, 8), np.uint8))
    (tmp_path / "classes.txt").write_text("sky\nroad 1 2 3\ntraffic light\n", encoding="utf-8")
    return tmp_path
