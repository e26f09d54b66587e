"""Turns, steps and shares; never how long anything takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from deeplab.checkpoints import Checkpoint
from deeplab.evaluation import Timing, float32_peak, time_models, timing
from deeplab.images import color_map
from deeplab.inference import Segmenter
from deeplab.inference.multiscale import View
from deeplab.inference.torch_network import TorchNetwork
from deeplab.layers import counted
from deeplab.models import create_model


def segmenter(seed: int = 0, classes: tuple[str, ...] = ("a", "b", "c"), **options: Any) -> Segmenter:
    torch.manual_seed(seed)
    model = create_model("deeplabv3", num_classes=len(classes), depth_multiplier=0.25, aspp_channels=8, atrous_rates=())
    return Segmenter(Checkpoint(model, classes, color_map(len(classes))), device="cpu", **options)


@pytest.fixture(autouse=True)
def in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "REST", 0)
    monkeypatch.setattr(timing, "PEAK_SIDE", 64)


@pytest.fixture
def picture(make_image: Callable[..., NDArray[np.uint8]]) -> NDArray[np.uint8]:
    return make_image(40, 50)


def test_the_models_take_turns_at_each_size(picture: NDArray[np.uint8], monkeypatch: Any) -> None:
    turns: list[tuple[int, tuple[int, ...]]] = []
    models = {"one": segmenter(0), "other": segmenter(1)}
    for number, model in enumerate(models.values()):
        assert isinstance(model.network, TorchNetwork)
        run = model.network.logits_there

        def noted(images: NDArray[np.uint8], number: int = number, run: Any = run) -> Any:
            turns.append((number, images.shape[1:3]))
            return run(images)

        monkeypatch.setattr(model.network, "logits_there", noted)
    done: list[None] = []
    sizes = [(33, 33), (17, 65)]
    timings = time_models(models, picture, sizes=sizes, rounds=2, on_turn=lambda: done.append(None))
    assert turns == [(number, size) for size in sizes for _ in range(3) for number in (0, 1)]
    assert len(done) == len(turns)
    assert [(each.model, each.size) for each in timings] == [(name, size) for size in sizes for name in models]
    assert all(len(each.seconds) == 2 for each in timings)


def test_the_steps_are_the_whole(picture: NDArray[np.uint8]) -> None:
    (found,) = time_models({"one": segmenter()}, picture, sizes=[(33, 33)], rounds=1)
    assert min(found.reading, found.network, found.labels) > 0
    assert found.median == pytest.approx(found.reading + found.network + found.labels)


def test_logits_stay_where_they_are_as_when_nobody_looks_at_the_time(
    picture: NDArray[np.uint8], monkeypatch: Any
) -> None:
    there: list[bool] = []
    labels = View.labels

    def noted(view: View, *points: Any) -> Any:
        there.append(view.there is not None)
        return labels(view, *points)

    monkeypatch.setattr(View, "labels", noted)
    time_models({"one": segmenter()}, picture, sizes=[(33, 33)], rounds=1)
    assert there == [True, True]


def test_the_size_that_a_network_sees_is_told_beside_that_of_the_picture(picture: NDArray[np.uint8]) -> None:
    models = {"any": segmenter(), "one": segmenter(long_side=65)}
    found = time_models(models, picture, sizes=[(33, 17)], rounds=1)
    assert [(each.size, each.seen) for each in found] == [((33, 17), (33, 17)), ((33, 17), (65, 33))]


def test_labels_are_compared_with_the_first_model_of_the_same_classes(picture: NDArray[np.uint8]) -> None:
    models = {"one": segmenter(0), "same": segmenter(0), "other": segmenter(1), "dogs": segmenter(0, ("a", "dog"))}
    found = {each.model: each.agreement for each in time_models(models, picture, sizes=[(33, 33)], rounds=1)}
    assert (found["one"], found["same"], found["dogs"]) == (1, 1, None)
    assert found["other"] is not None
    assert found["other"] < 1


@pytest.mark.parametrize("batch_size", [1, 2])
def test_multiply_adds_are_those_of_one_picture_as_the_network_sees_it(
    picture: NDArray[np.uint8], batch_size: int
) -> None:
    model = segmenter(flip=True, long_side=65)
    (found,) = time_models({"x": model}, picture, sizes=[(33, 33)], rounds=1, batch_size=batch_size)
    with counted(model.model) as work:
        model.model(torch.zeros(1, 3, 65, 65))
    assert found.multiply_adds == 2 * work.multiply_adds  # mirrored too


def test_shares_quartiles_and_medians_by_hand() -> None:
    found = Timing("x", (1, 1), (1, 1), (1.0, 2.0, 3.0, 4.0, 10.0), 1.0, 1.0, 1.0, 700, 600, None)
    assert (found.median, found.quartiles) == (3, (2, 4))
    assert found.share_of_peak(400) == 0.5
    assert found.share_of_peak(None) is None


def test_the_peak_is_a_speed() -> None:
    assert float32_peak() > 1e6
