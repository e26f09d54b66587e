"""A sound data set, to be broken."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ._sabotage import CLASSES, LISTS, label_map, picture, save, write_lists


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five training and two validation samples, all in order."""
    root = tmp_path_factory.mktemp("sound") / "data"
    for split, seeds in (("train", range(5)), ("val", range(5, 7))):
        for kind in ("images", "masks"):
            (root / split / kind).mkdir(parents=True)
        for seed in seeds:
            save(root / split / "images" / f"{seed}.png", picture(seed))
            save(root / split / "masks" / f"{seed}.png", label_map(seed))
    (root / "classes.txt").write_text(CLASSES, encoding="utf-8")
    return root


@pytest.fixture
def root(sound: Path, tmp_path: Path) -> Path:
    """A copy of them, to be broken."""
    return Path(shutil.copytree(sound, tmp_path / "data"))


@pytest.fixture
def voc(root: Path) -> Path:
    """The pictures in VOC's layout, in lists that have images in common by design."""
    for kind, name in (("images", "JPEGImages"), ("masks", "SegmentationClass")):
        (root / name).mkdir()
        for file in root.glob(f"*/{kind}/*.png"):
            file.rename(root / name / file.name)
    for split in ("train", "val"):
        shutil.rmtree(root / split)
    write_lists(root, **LISTS)
    return root
