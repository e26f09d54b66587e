"""A command line in this process, a tiny random model, photos and a data set, all made here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from deeplab import checkpoints
from deeplab.__main__ import main
from deeplab.checkpoints import Checkpoint
from deeplab.images import color_map, write_image, write_labels
from deeplab.models import create_model

CLASSES = ("background", "cat", "dog")


class Outcome(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """`run("segment", path, ...)`: the exit status and what was printed."""

    def call(*arguments: Any) -> Outcome:
        status = main([str(argument) for argument in arguments])
        return Outcome(status, *capfd.readouterr())

    return call


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file with three classes and random weights."""
    return _saved(tmp_path_factory.mktemp("models") / "tiny.safetensors", seed=0)


@pytest.fixture(scope="session")
def tiny_too(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another one, with other weights."""
    return _saved(tmp_path_factory.mktemp("models") / "tiny_too.safetensors", seed=1)


def _saved(path: Path, *, seed: int) -> Path:
    torch.manual_seed(seed)
    model = create_model("deeplabv3", num_classes=3, depth_multiplier=0.25, aspp_channels=8, atrous_rates=())
    checkpoints.save(path, Checkpoint(model.eval(), CLASSES, color_map(3)))
    return path


@pytest.fixture
def photo(make_image: Callable[..., Any], tmp_path: Path) -> Callable[[str], Path]:
    """`photo("a/x.jpg")`: an image file of that name in the test's own folder."""

    def make(name: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, make_image(24, 32))
        return path

    return make


@pytest.fixture
def data(tmp_path: Path, make_image: Callable[..., Any]) -> Path:
    """A data set of the three classes: two photos to train on, one to validate on."""
    root = tmp_path / "pets"
    for split, count in (("train", 2), ("val", 1)):
        for number in range(count):
            labels = np.zeros((24, 32), np.uint8)
            labels[8:16, 4 : 20 + number] = 1
            (root / split / "images").mkdir(parents=True, exist_ok=True)
            write_image(root / split / "images" / f"{number}.png", make_image(24, 32, seed=number))
            write_labels(root / split / "masks" / f"{number}.png", labels, palette=color_map(3))
    (root / "classes.txt").write_text("\n".join(CLASSES), encoding="utf-8")
    return root
