"""Points on the axes and their drawing, small."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import deeplab
from deeplab import checkpoints
from deeplab.checkpoints import Checkpoint
from deeplab.errors import InputNotFoundError, SettingsError
from deeplab.evaluation import Growth, draw_growth, growth, measure_growth
from deeplab.images import color_map, read_image
from deeplab.models import create_model

PICTURE = np.zeros((20, 20, 3), np.uint8)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = create_model("deeplabv3", num_classes=3, depth_multiplier=0.25, aspp_channels=8, atrous_rates=())
    path = tmp_path_factory.mktemp("models") / "few.safetensors"
    checkpoints.save(path, Checkpoint(model.eval(), ("a", "b", "c"), color_map(3)))
    return path


class Sent(list[Any]):
    """A connection that keeps what it is sent."""

    send = list.append


@pytest.mark.parametrize(("axis", "values"), [("pixels", (33**2, 65**2)), ("batch", (1, 2)), ("classes", (2, 300))])
def test_every_value_has_a_time_and_a_memory_that_does_not_fall(
    path: Path, monkeypatch: Any, axis: Any, values: tuple[int, ...]
) -> None:
    monkeypatch.setattr(growth, "SIDE", 33)
    monkeypatch.setattr(growth, "ROUNDS", 1)
    sent = Sent()
    growth.grow(sent, partial(deeplab.load, path), PICTURE, axis, values)  # type: ignore[arg-type]
    (one, first), (other, second) = sent
    assert min(one, other) > 0
    assert 2**20 < first <= second


def test_more_classes_leave_the_rest_of_the_network_as_it_is(path: Path) -> None:
    few = deeplab.load(path)
    many = growth.with_classes(few, 300)
    assert len(many.classes) == 300
    assert many(PICTURE).labels.dtype == np.uint16
    for name, tensor in few.model.backbone.state_dict().items():
        assert torch.equal(tensor, many.model.backbone.state_dict()[name])


def test_more_classes_are_segmented_in_the_same_way(path: Path) -> None:
    options: dict[str, Any] = {"scales": (0.5, 1), "flip": True, "tile_size": 64, "long_side": 33}
    few = deeplab.load(path, device="cpu", precision="bfloat16", **options)
    many = growth.with_classes(few, 300)
    assert {name: getattr(many, name) for name in options} == options
    assert (few.network.precision, many.network.precision) == (torch.bfloat16,) * 2  # type: ignore[attr-defined]


def test_an_exported_network_is_not_measured_along_the_classes() -> None:
    assert growth.lines(["x.safetensors", "x.onnx"], {"x.onnx"}) == [
        ("x.safetensors", "pixels"),
        ("x.safetensors", "batch"),
        ("x.safetensors", "classes"),
        ("x.onnx", "pixels"),
        ("x.onnx", "batch"),
    ]


def test_what_goes_wrong_in_the_other_process_is_raised_here(tmp_path: Path) -> None:
    missing = partial(deeplab.load, tmp_path / "none.safetensors")
    with pytest.raises(InputNotFoundError, match=r"none\.safetensors"):
        measure_growth({"none": missing}, PICTURE, values={"batch": (1,)})


def test_a_process_that_the_system_ends_is_told() -> None:
    with pytest.raises(SettingsError, match=r"gone has ended at 1 batch with status 3, .* leave it out of the models"):
        measure_growth({"gone": partial(os._exit, 3)}, PICTURE, values={"batch": (1,)})


def test_the_drawing_is_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra train")
    points = [Growth("x", "pixels", value, 0.1 * value, 2**20 * value) for value in (1, 2)]
    points += [Growth("y", "classes", value, 0.1, 2**20) for value in (2, 21)]
    draw_growth(tmp_path / "growth.png", points)
    assert read_image(tmp_path / "growth.png").shape == (600, 800, 3)
