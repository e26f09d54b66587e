"""`deeplab train`: flags over the file over the defaults; the run itself is tested in tests/training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deeplab import training
from deeplab.settings import TrainSettings

pytest.importorskip("yaml", reason="needs the extra [train]")

Run = Callable[..., Any]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[TrainSettings]:
    """The settings of each training, which is not done."""
    settings: list[TrainSettings] = []

    def train(given: TrainSettings) -> Path:
        settings.append(given)
        return Path("best.safetensors")

    monkeypatch.setattr(training, "train", train)
    return settings


def test_flags_become_settings(run: Run, seen: list[TrainSettings]) -> None:
    status, out, err = run("train", "pets", "--epochs", 3, "--crop-size", "32,48", "--no-photometric", "--seed", 7)
    assert (status, err) == (0, "")
    assert "best.safetensors" in out
    assert seen == [TrainSettings(data=Path("pets"), epochs=3, crop_size=(32, 48), photometric=False, seed=7)]


@pytest.mark.parametrize(("flags", "wanted"), [([], None), (["--crf-rnn"], True), (["--no-crf-rnn"], False)])
def test_a_switch_that_is_not_given_is_left_open(
    run: Run, seen: list[TrainSettings], flags: list[str], wanted: bool | None
) -> None:
    assert run("train", "pets", *flags).status == 0
    assert [settings.crf_rnn for settings in seen] == [wanted]


def test_of_several_processes_the_first_one_prints(
    run: Run, seen: list[TrainSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    assert run("train", "pets", "--devices", 2)[:2] == (0, "")
    assert [settings.devices for settings in seen] == [2]


def test_the_format_of_the_data_can_be_given(run: Run, seen: list[TrainSettings]) -> None:
    assert run("train", "pets", "--format", "voc").status == 0
    assert [settings.format for settings in seen] == ["voc"]


def test_flags_override_the_file(run: Run, seen: list[TrainSettings], tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("data: pets\nepochs: 9\nlearning_rate: 5e-4\nhalf: true\ncrop_size: [32, 48]\n")
    assert run("train", "--config", config, "--epochs", 3, "--no-half").status == 0
    (settings,) = seen
    assert (settings.data, settings.epochs, settings.half) == (Path("pets"), 3, False)
    assert (settings.learning_rate, settings.crop_size) == (5e-4, (32, 48))


@pytest.mark.parametrize("given", ["epochs", "steps"])
def test_a_length_that_is_given_stands_in_the_place_of_that_in_the_file(
    run: Run, seen: list[TrainSettings], tmp_path: Path, given: str
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("data: pets\nepochs: 9\nsteps: null\nwarmup_steps: 7\n")
    assert run("train", "--config", config, f"--{given}", 3, "--warmup-epochs", 1).status == 0
    (settings,) = seen
    assert (settings.epochs, settings.steps) == ((3, None) if given == "epochs" else (None, 3))
    assert (settings.warmup_epochs, settings.warmup_steps) == (1, None)


def test_a_recipe_that_is_given_goes_over_the_file(run: Run, seen: list[TrainSettings], tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("data: pets\nbackbone: resnet18\nseed: 7\nlearning_rate: 0.5\n")
    assert run("train", "--config", config, "--recipe", "torchvision", "--learning-rate", 0.25).status == 0
    (settings,) = seen
    assert (settings.backbone, settings.learning_rate, settings.seed) == ("resnet101", 0.25, 7)


def test_a_resumed_run_goes_on_with_its_own_options(run: Run, seen: list[TrainSettings], tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("data: pets\nepochs: 9\n")
    assert run("train", "--resume", "--output", tmp_path).status == 0
    (settings,) = seen
    assert (settings.data, settings.epochs, settings.resume) == (Path("pets"), 9, True)


@pytest.mark.parametrize(
    "text, words",
    [
        ("epoch: 3", "no option 'epoch'; did you mean epochs?"),
        ("photometric: 'False'", "photometric wants true or false, without quotes, got 'False'"),
        ("epochs: [", "not readable as YAML"),
        ("- epochs", "wanted lines such as 'epochs: 50', got list"),
        ("", "wanted lines such as 'epochs: 50', got NoneType"),
    ],
)
def test_a_mistake_in_the_file_names_the_file(
    run: Run, seen: list[TrainSettings], tmp_path: Path, text: str, words: str
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(text)
    status, _, err = run("train", "pets", "--config", config)
    assert (status, seen) == (2, [])
    assert f"{config}: " in err
    assert words in err
    assert err.count("\n") == 1


def test_a_file_that_is_not_there_is_said(run: Run, seen: list[TrainSettings]) -> None:
    status, _, err = run("train", "pets", "--config", "gone.yaml")
    assert (status, seen) == (2, [])
    assert "gone.yaml: no such file" in err


def test_a_run_is_never_written_into_the_data_set(
    run: Run, seen: list[TrainSettings], tmp_path: Path, data: Path
) -> None:
    status, _, err = run("train", data, "--output", data / "run")
    assert (status, seen) == (2, [])
    assert "lies inside the data set" in err


def test_a_run_that_lies_in_its_data_set_goes_on(run: Run, seen: list[TrainSettings], data: Path) -> None:
    (data / "run").mkdir()
    (data / "run/config.yaml").write_text(f"data: {data}\n")
    assert run("train", "--resume", "--output", data / "run").status == 0


def test_a_file_in_the_place_of_the_run_is_said_at_once(run: Run, seen: list[TrainSettings], tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").touch()
    status, _, err = run("train", "pets", "--output", tmp_path / "photo.jpg")
    assert (status, seen) == (2, [])
    assert err.startswith(f"deeplab: {tmp_path / 'photo.jpg'}: cannot be written (Not a directory)")


def test_a_run_to_resume_that_is_not_there_is_said(run: Run, seen: list[TrainSettings], tmp_path: Path) -> None:
    status, _, err = run("train", "--resume", "--output", tmp_path / "gone")
    assert (status, seen) == (2, [])
    assert err.startswith(f"deeplab: no run lies in {tmp_path / 'gone'}, which has no config.yaml;")


def test_flags_override_a_recipe(run: Run, seen: list[TrainSettings]) -> None:
    options = ("--recipe", "deeplabv2-voc", "--crop-size", 257, "--epochs", 3)
    assert run("train", "pets", *options, "--model-options", '{"merge": "mean"}').status == 0
    (settings,) = seen
    assert (settings.crop_size, settings.epochs, settings.steps) == ((257, 257), 3, None)
    assert (settings.model, settings.learning_rate) == ("deeplabv2", 2.5e-4)
    assert settings.model_options is not None
    assert (settings.model_options["merge"], settings.model_options["stride_in"]) == ("mean", "1x1")


def test_a_file_overrides_its_recipe(run: Run, seen: list[TrainSettings], tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("data: pets\nrecipe: torchvision\nlearning_rate: 0.01\n")
    assert run("train", "--config", config).status == 0
    assert (seen[0].learning_rate, seen[0].weight_decay) == (0.01, 1e-4)


def test_an_unknown_recipe_is_told_with_the_nearest_name(run: Run, seen: list[TrainSettings]) -> None:
    status, _, err = run("train", "pets", "--recipe", "deeplabv3-vok")
    assert (status, seen) == (2, [])
    assert err.startswith("deeplab: no recipe 'deeplabv3-vok'; did you mean deeplabv3-voc")


def test_the_help_names_the_recipes(run: Run) -> None:
    words = run("train", "--help").out.split()
    assert {"deeplabv3plus-cityscapes,", "paddleseg."} <= set(words)
