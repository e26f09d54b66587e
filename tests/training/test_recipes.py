"""The published recipes have the figures of their sources, and their models can be trained."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deeplab import losses
from deeplab.backbones import resnet
from deeplab.errors import SettingsError, UnknownNameError
from deeplab.models import create_model
from deeplab.settings import TrainSettings, build
from deeplab.training.batches import Epochs
from deeplab.training.config import with_config
from deeplab.training.recipes import RECIPES, with_recipe
from deeplab.training.schedule import schedule_of
from deeplab.training.task import SegmentationTask


def settings_of(name: str, **changes: Any) -> TrainSettings:
    return build(TrainSettings, with_recipe({"data": "data", "recipe": name, **changes}))


FIGURES = {
    "deeplabv2-voc": ("deeplabv2", "resnet101", 8, (321, 321), 20_000, 5, 2, 2.5e-4, 5e-4, "freeze"),
    "deeplabv3-voc": ("deeplabv3", "resnet101", 16, (513, 513), 30_000, 16, None, 0.007, 1e-4, "train"),
    "deeplabv3-voc-finetune": ("deeplabv3", "resnet101", 8, (513, 513), 30_000, 16, None, 0.001, 1e-4, "freeze"),
    "deeplabv3plus-voc": ("deeplabv3plus", "xception65", 16, (513, 513), 30_000, 16, None, 0.007, 4e-5, "train"),
    "deeplabv3plus-voc-finetune": (
        *("deeplabv3plus", "xception65", 16, (513, 513), 30_000, 16, None, 0.0001, 4e-5, "train"),
    ),
    "deeplabv3plus-cityscapes": ("deeplabv3plus", "xception65", 16, (769, 769), 90_000, 16, None, 0.007, 4e-5, "train"),
    "deeplabv3plus-ade20k": ("deeplabv3plus", "xception65", 16, (513, 513), 150_000, 16, None, 0.007, 4e-5, "train"),
    "torchvision": ("deeplabv3", "resnet101", 8, (480, 480), None, 32, None, 0.02, 1e-4, "sync"),
    "detectron2": ("deeplabv3plus", "resnet101", 16, (512, 1024), 90_000, 16, None, 0.01, 1e-4, "sync"),
    "mmsegmentation": ("deeplabv3plus", "resnet50", 8, (512, 1024), 80_000, 8, None, 0.01, 5e-4, "sync"),
    "mmsegmentation-voc": ("deeplabv3plus", "resnet50", 8, (512, 512), 40_000, 16, None, 0.01, 5e-4, "sync"),
    "mmsegmentation-ade20k": ("deeplabv3plus", "resnet50", 8, (512, 512), 160_000, 16, None, 0.01, 5e-4, "sync"),
    "paddleseg": ("deeplabv3plus", "resnet50", 8, (512, 1024), 80_000, 8, None, 0.01, 4e-5, "sync"),
}
"""Model, backbone, output stride, crop, steps, images in a step, accumulation, rate, decay, normalisation."""

NAMES = (
    *("model", "backbone", "output_stride", "crop_size", "steps", "batch_size", "accumulate"),
    *("learning_rate", "weight_decay", "batch_norm"),
)

MORE = {
    "deeplabv2-voc": {
        **{"scale": (0.5, 1.5), "scale_step": 0.25, "head_multiplier": 10, "bias_multiplier": 2, "rate_every": 10},
        **{"atrous_rates": (6, 12, 18, 24)},
    },
    "deeplabv3-voc": {"scale": (0.5, 2.0), "scale_step": 0.25, "batch_norm_momentum": pytest.approx(1 - 0.9997)},
    "deeplabv3-voc-finetune": {"train_splits": ("train", "val")},
    "deeplabv3plus-voc": {"atrous_rates": (6, 12, 18), "bias_multiplier": 2},
    "deeplabv3plus-ade20k": {"long_side": 513},
    "torchvision": {"epochs": 30, "passes": 1, "auxiliary": 0.5, "auxiliary_multiplier": 10, "head_multiplier": 1},
    "detectron2": {"warmup_steps": 1000, "hard_pixels": 0.2, "loss_divisor": "all", "atrous_rates": (6, 12, 18)},
    "mmsegmentation": {
        **{"auxiliary": 0.4, "loss_divisor": "all", "end_learning_rate": 1e-4, "photometric": True},
        **{"atrous_rates": (12, 24, 36)},
    },
    "paddleseg": {"atrous_rates": (12, 24, 36), "scale_step": 0.25, "end_learning_rate": 0, "loss_divisor": "counted"},
}

NETWORKS = {
    "deeplabv2-voc": {
        **{"scales": [0.5, 0.75, 1.0], "merge": "max", "stride_in": "1x1"},
        **{"image_mean": pytest.approx([0.481078, 0.457525, 0.407875], abs=1e-6)},  # 122.675, 116.669, 104.008
    },
    "deeplabv3-voc": {"multi_grid": [1, 2, 4]},
    "deeplabv3plus-voc": {"decoder_strides": [4]},
    "torchvision": {"dropout": 0.5, "align_corners": False, "head_conv": True},
    "detectron2": {"multi_grid": [1, 2, 4], "stem_channels": [64, 64, 128]},
    "mmsegmentation": {"stem_channels": [32, 32, 64], "aspp_channels": 512, "low_level_channels": 48, "dropout": 0.1},
    "paddleseg": {"multi_grid": [1, 2, 4], "align_corners": False},
}


def test_every_recipe_has_its_figures_here() -> None:
    assert list(FIGURES) == list(RECIPES)


@pytest.mark.parametrize("name", FIGURES)
def test_a_recipe_has_the_figures_of_its_source(name: str) -> None:
    settings = settings_of(name)
    assert tuple(getattr(settings, option) for option in NAMES) == FIGURES[name]
    assert {option: getattr(settings, option) for option in MORE.get(name, {})} == MORE.get(name, {})
    network = settings.model_options or {}
    assert {option: network[option] for option in NETWORKS.get(name, {})} == NETWORKS.get(name, {})
    assert (settings.optimizer, settings.power, settings.ema, settings.gradient_clip) == ("sgd", 0.9, 0, 0)


RATES = {
    "deeplabv2-voc": {0: 2.5e-4, 9: 2.5e-4, 10_005: 2.5e-4 * 0.5**0.9, 19_999: 2.5e-4 * 0.0005**0.9},
    "deeplabv3-voc": {0: 0.007, 15_000: 0.007 * 0.5**0.9, 30_000: 0},
    "detectron2": {0: 0.01 / 1001, 1000: 0.01, 45_500: 0.01 * 0.5**0.9},
    "mmsegmentation": {0: 0.01, 40_000: 0.0099 * 0.5**0.9 + 1e-4, 80_000: 1e-4},
    "paddleseg": {40_000: 0.01 * 0.5**0.9, 80_000: 0},
}


@pytest.mark.parametrize("name", RATES)
def test_the_learning_rate_falls_as_in_the_source(name: str) -> None:
    settings = settings_of(name)
    assert settings.learning_rate is not None
    schedule = schedule_of(settings, steps_per_epoch=100)
    rates = {step: settings.learning_rate * schedule.factor(step) for step in RATES[name]}
    assert rates == pytest.approx(RATES[name], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
def test_its_model_is_built_and_takes_a_step(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    short = partial(resnet.ResNet, resnet.BottleneckUnit, (1, 1, 1, 3))  # as wide, and with a multi-grid of three
    monkeypatch.setattr(resnet, "resnet50", short)
    monkeypatch.setattr(resnet, "resnet101", short)
    settings = settings_of(name, crop_size=33, epochs=1, accumulate=1, batch_size=1)
    options = {**(settings.model_options or {})}
    if settings.atrous_rates is not None:
        options["atrous_rates"] = settings.atrous_rates
    assert settings.output_stride is not None
    model = create_model(
        settings.model, backbone=settings.backbone, num_classes=3, output_stride=settings.output_stride, **options
    )
    task = SegmentationTask(
        model,
        settings,
        samples=(),
        num_classes=3,
        ignore_index=255,
        epochs=Epochs(1, 1, seed=0),
        segmenter=lambda model: pytest.fail("not asked for"),
    )
    [optimizer], _ = task.configure_optimizers()
    before = {key: value.clone() for key, value in model.named_parameters()}
    image = torch.rand(2, 3, *(settings.crop_size or ()))
    logits, auxiliary = (None if each is None else losses.full_size(each) for each in task.logits(image))
    assert logits is not None
    assert logits.shape == (2, 3, 33, 33)
    (logits.square().sum() + (0 if auxiliary is None else auxiliary.square().sum())).backward()
    optimizer.step()
    moved = [key for key, value in model.named_parameters() if not torch.equal(value, before[key])]
    assert len(moved) > 0.9 * len(before)
    assert np.isfinite([value.abs().max().item() for value in model.parameters()]).all()


def test_the_auxiliary_head_of_torchvision_learns_ten_times_as_fast(settings: Any, tmp_path: Any) -> None:
    given = settings(tmp_path, auxiliary=0.5, auxiliary_multiplier=10.0, learning_rate=0.02, weight_decay=1e-4)
    task = SegmentationTask(
        create_model("deeplabv3plus", num_classes=3),
        build(TrainSettings, {**vars(given), "head_multiplier": 1.0}),
        samples=(),
        num_classes=3,
        ignore_index=255,
        epochs=Epochs(4, 2, seed=0),
        segmenter=lambda model: pytest.fail("not asked for"),
    )
    [optimizer], _ = task.configure_optimizers()
    rates = {group["name"].partition(",")[0]: group["initial_lr"] for group in optimizer.param_groups}
    assert rates == {"backbone": 0.02, "head": 0.02, "auxiliary head": 0.2}


def test_the_batch_of_a_recipe_is_shared_between_devices() -> None:
    assert settings_of("torchvision", devices=8).batch_size == 4
    assert settings_of("torchvision", devices=4, nodes=4).batch_size == 2


@pytest.mark.parametrize(("name", "devices"), [("deeplabv2-voc", 2), ("deeplabv3-voc", 3), ("deeplabv3-voc", 64)])
def test_a_batch_that_devices_cannot_share_evenly_is_refused(name: str, devices: int) -> None:
    message = f"recipe {name} takes .* at a time, which {devices} devices cannot share evenly; give --batch-size"
    with pytest.raises(SettingsError, match=message):
        settings_of(name, devices=devices)
    assert settings_of(name, devices=devices, batch_size=5).batch_size == 5


def test_the_devices_of_a_config_share_the_batch_of_a_recipe_too(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("devices: 2\n")
    options = with_config({"data": "data", "config": str(config), "recipe": "torchvision"})
    assert (options["devices"], options["batch_size"]) == (2, 16)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recipe": "torchvision", "devices": "two"}, "devices wants a whole number .*, got 'two'"),
        ({"recipe": "torchvision", "nodes": 0}, "nodes wants a whole number .*, got 0"),
        ({"recipe": 3}, "recipe wants a text, got 3"),
        ({"recipe": ["torchvision"]}, "recipe wants a text, got"),
    ],
)
def test_what_a_recipe_needs_to_know_is_checked_like_any_option(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        with_recipe(options)


def test_what_is_given_overrides_the_recipe_and_a_length_its_other_unit() -> None:
    settings = settings_of("detectron2", epochs=3, warmup_epochs=1, model_options={"dropout": 0.3})
    assert (settings.steps, settings.epochs, settings.warmup_steps, settings.warmup_epochs) == (None, 3, None, 1)
    assert settings.model_options is not None
    assert (settings.model_options["dropout"], settings.model_options["multi_grid"]) == (0.3, [1, 2, 4])


@pytest.mark.parametrize("given", [{"dropout": 0.3}, '{"dropout": 0.3}'])
def test_options_of_the_model_go_over_those_of_the_recipe_as_text_too(given: Any) -> None:
    merged = with_recipe({"recipe": "torchvision", "model_options": given})["model_options"]
    assert (merged["dropout"], merged["head_conv"]) == (0.3, True)


def test_the_options_of_a_recipe_are_the_same_when_they_come_back() -> None:
    once = settings_of("mmsegmentation", epochs=5, crop_size=64)
    assert build(TrainSettings, with_recipe(once.as_dict())) == once


def test_an_unknown_recipe_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="no recipe 'torchvison'; did you mean torchvision"):
        with_recipe({"recipe": "torchvison"})
