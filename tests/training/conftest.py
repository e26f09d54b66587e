"""A small data set of coloured patches, and short runs on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deeplab.settings import TrainSettings, build

for module in ("lightning", "torchvision", "tensorboard", "matplotlib", "yaml"):
    pytest.importorskip(module, reason="needs the extra [train]")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five training and two validation images of about 40 x 50 pixels; each class has its brightness."""
    root = tmp_path_factory.mktemp("patches")
    generator = np.random.default_rng(0)
    for split, number in (("train", 5), ("val", 2)):
        for folder in ("images", "masks"):
            (root / split / folder).mkdir(parents=True)
        for index in range(number):
            height, width = generator.integers(35, 55, 2)
            patches = generator.integers(0, 3, (4, 4), dtype=np.uint8)
            labels = patches.repeat(height // 4 + 1, axis=0).repeat(width // 4 + 1, axis=1)[:height, :width]
            image = 100 * labels[..., None] + generator.integers(0, 50, (height, width, 3), dtype=np.uint8)
            Image.fromarray(image.astype(np.uint8)).save(root / split / "images" / f"{index}.png")
            Image.fromarray(labels).save(root / split / "masks" / f"{index}.png")
    (root / "classes.txt").write_text("dark\nmiddle 0 200 0\nbright\n")
    return root


@pytest.fixture(scope="session")
def settings(data: Path) -> Callable[..., TrainSettings]:
    """`settings(output, **changes)` of a run of three epochs with three small steps each."""
    small = {
        **{"data": data, "epochs": 3, "batch_size": 2, "accumulate": 1, "crop_size": 17, "warmup_epochs": 1},
        **{"scale": (0.5, 2.0), "model": "deeplabv3plus", "backbone": "mobilenetv2", "weights": "none"},
        **{"batch_norm": "train", "output_stride": 16, "loss": "cross_entropy", "crf_rnn": False},
        "precision": "32",  # whatever the machine would choose
    }

    def make(output: Path, **changes: Any) -> TrainSettings:
        return build(TrainSettings, {**small, "device": "cpu", "workers": 0, "output": output, **changes})

    return make


@pytest.fixture(scope="module")
def quick(settings: Callable[..., TrainSettings]) -> Iterator[Callable[..., TrainSettings]]:
    """`settings` of runs of a small network without dropout, and without pictures, which take longer than the runs."""
    from deeplab.training import report

    def make(output: Path, **changes: Any) -> TrainSettings:
        options = {"aspp_channels": 16, "decoder_channels": 16, "depth_multiplier": 0.25, "dropout": 0.0}
        return settings(output, **{"model_options": options, **changes})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "draw_curves", lambda folder: None)
        patch.setattr(report, "draw_samples", lambda *arguments, **options: None)
        yield make
