from dataclasses import replace

import numpy as np
import pytest
import yaml
from PIL import Image

from deeplab.data import open_dataset
from deeplab.errors import SettingsError
from deeplab.images import read_image
from deeplab.settings import TrainSettings, build
from deeplab.training import recipe


def choose(settings):
    return recipe.choose(settings, open_dataset(settings.data))


def test_nothing_is_left_open_and_every_choice_has_a_reason(settings, tmp_path):
    open_ended = {
        "crop_size": None,
        "device": "auto",
        "workers": -1,
        "weights": "auto",
        "backbone": "resnet18",
        "warmup_epochs": None,
    }
    chosen, why = choose(settings(tmp_path, **open_ended))
    assert chosen.learning_rate == 5e-4
    assert chosen.warmup_epochs == pytest.approx(0.3)
    assert chosen.weights == "none"
    assert chosen.precision in ("32", "bf16")
    assert chosen.workers >= 0
    assert set(why) == {
        *("crop_size", "device", "workers", "weights"),
        *("learning_rate", "weight_decay", "warmup_epochs", "precision"),
    }


def test_what_is_given_stays(settings, tmp_path):
    chosen, why = choose(settings(tmp_path, learning_rate=0.1, precision="32"))
    assert (chosen.learning_rate, chosen.crop_size) == (0.1, (17, 17))
    assert not {"learning_rate", "precision", "crop_size"} & set(why)


def test_the_crop_is_the_short_side_of_the_images(settings, data, tmp_path):
    dataset = open_dataset(data)
    short = [min(read_image(sample.image).shape[:2]) for sample in dataset.split("train")]
    side = int(np.median(short))
    assert choose(settings(tmp_path, crop_size=None))[0].crop_size == (side, side)


def test_large_images_are_shrunk(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / "train" / folder).mkdir(parents=True)
    Image.new("RGB", (2048, 1024)).save(tmp_path / "train/images/a.png")
    Image.new("L", (2048, 1024)).save(tmp_path / "train/masks/a.png")
    (tmp_path / "classes.txt").write_text("a\nb\n")
    chosen, _ = choose(build(TrainSettings, {"data": tmp_path, "weights": "none"}))
    assert (chosen.long_side, chosen.crop_size) == (1024, (512, 512))
    assert chosen.val_split == "none"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"warmup_epochs": 4}, "warmup_epochs 4 is longer than the training of 3 epochs"),
        ({"validate_every": 4}, "validate_every 4 is longer than the training of 3 epochs"),
        ({"devices": 2}, "devices is 2 but cpu has 1 here"),
        ({"freeze": "res3", "weights": "none"}, "freeze res3 would keep random weights, as weights is none; choose"),
        ({"train_splits": "training"}, "no images in split 'training'; there are images in: train, val"),
        ({"val_split": "test"}, "no images in split 'test'"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, tmp_path, changes, problem):
    with pytest.raises(ValueError, match=problem):
        choose(settings(tmp_path, **changes))


def test_the_written_values_give_the_same_settings_again(settings, tmp_path):
    chosen, why = choose(settings(tmp_path / "run: #1", atrous_rates=(3, 6)))
    recipe.write(tmp_path / "config.yaml", chosen, why)
    text = (tmp_path / "config.yaml").read_text()
    assert "learning_rate: 0.0005  # usual for adamw\n" in text
    assert "epochs: 3  # given\n" in text
    assert "output_stride: 16  # default\n" in text
    assert build(TrainSettings, yaml.safe_load(text)) == chosen


def test_classes_are_written_in_their_order_and_read_back(settings, tmp_path):
    chosen, why = choose(settings(tmp_path, classes={"b, c": ["middle", "bright"], "*": "*"}))
    recipe.write(tmp_path / "config.yaml", chosen, why)
    assert "classes: ['b, c=middle|bright', '*=*']  # given\n" in (tmp_path / "config.yaml").read_text()
    recipe.check_same_run(tmp_path / "config.yaml", chosen)
    with pytest.raises(SettingsError, match="--classes is"):
        recipe.check_same_run(tmp_path / "config.yaml", replace(chosen, classes=chosen.classes[::-1]))


def test_a_run_goes_on_only_as_it_began(settings, tmp_path):
    chosen, why = choose(settings(tmp_path))
    recipe.write(tmp_path / "config.yaml", chosen, why)
    recipe.check_same_run(tmp_path / "config.yaml", replace(chosen, resume=True, workers=3))
    with pytest.raises(
        SettingsError, match=r"--batch-size is 4 but the run in .* has 2; resume it without --batch-size"
    ):
        recipe.check_same_run(tmp_path / "config.yaml", replace(chosen, batch_size=4))
