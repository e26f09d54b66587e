"""The values of a run in config.yaml, written and read back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from deeplab.errors import SettingsError
from deeplab.settings import TrainSettings, build
from deeplab.training import config
from deeplab.training.recipes import with_recipe

Settings = Callable[..., TrainSettings]


def test_the_written_values_give_the_same_settings_again(settings: Settings, tmp_path: Path) -> None:
    options = {"atrous_rates": (3, 6), "model_options": {"aspp_channels": 64, "decoder_strides": [8, 4]}}
    before = settings(tmp_path / "run: #1", learning_rate=0.0005, **options)
    config.write(tmp_path / "config.yaml", before, {"learning_rate": "usual for adamw"})
    text = (tmp_path / "config.yaml").read_text()
    assert "learning_rate: 0.0005  # usual for adamw\n" in text
    assert "epochs: 3  # given\n" in text
    assert "power: 0.9  # default\n" in text
    assert build(TrainSettings, yaml.safe_load(text)) == before


def test_what_a_recipe_says_is_told_as_its_word(tmp_path: Path) -> None:
    given = {"data": tmp_path, "recipe": "deeplabv2-voc", "output_stride": 16}
    config.write(tmp_path / "config.yaml", build(TrainSettings, with_recipe(given)), {})
    text = (tmp_path / "config.yaml").read_text()
    assert "rate_every: 10  # as deeplabv2-voc\n" in text
    assert "output_stride: 16  # given\n" in text
    assert "seed: 0  # default\n" in text


def test_classes_are_written_in_their_order_and_read_back(settings: Settings, tmp_path: Path) -> None:
    before = settings(tmp_path, classes={"b, c": ["middle", "bright"], "*": "*"})
    config.write(tmp_path / "config.yaml", before, {})
    assert "classes: ['b, c=middle|bright', '*=*']  # given\n" in (tmp_path / "config.yaml").read_text()
    config.check_same_run(config.read(tmp_path / "config.yaml"), before)
    assert before.classes is not None
    with pytest.raises(SettingsError, match="--classes is"):
        config.check_same_run(config.read(tmp_path / "config.yaml"), replace(before, classes=before.classes[::-1]))


def test_a_run_goes_on_only_as_it_began(settings: Settings, tmp_path: Path) -> None:
    before = settings(tmp_path)
    config.write(tmp_path / "config.yaml", before, {})
    config.check_same_run(config.read(tmp_path / "config.yaml"), replace(before, resume=True, workers=3))
    with pytest.raises(
        SettingsError, match=r"--batch-size is 4 but the run in .* has 2; resume it without --batch-size"
    ):
        config.check_same_run(config.read(tmp_path / "config.yaml"), replace(before, batch_size=4))


@pytest.mark.parametrize("text", ["epochs: [", "50"])
def test_a_damaged_file_of_a_run_to_be_resumed_is_told_as_one_that_is_given(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    told = []
    for read in (config.read, lambda path: config.with_config({"config": str(path)})):
        with pytest.raises(SettingsError, match=r"config\.yaml: ") as caught:
            read(path)
        told.append(str(caught.value))
    assert told[0] == told[1]
    assert len(told[0].splitlines()) == 1
