"""Settings take what keywords, flags and YAML give, and refuse what cannot work in one line."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError, fields
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deeplab._fields import is_required
from deeplab.errors import SettingsError, UnknownNameError
from deeplab.settings import (
    CompareSettings,
    ConvertSettings,
    DoctorSettings,
    EvaluateSettings,
    ExplainSettings,
    LoadSettings,
    SegmentSettings,
    Settings,
    TrainSettings,
    TuneCRFSettings,
    build,
    loss_weights,
    takes,
)

KINDS: list[type[Settings]] = [
    LoadSettings,
    SegmentSettings,
    EvaluateSettings,
    CompareSettings,
    ExplainSettings,
    TuneCRFSettings,
    DoctorSettings,
    TrainSettings,
]
REQUIRED: dict[str, Any] = {
    "inputs": ("a.jpg",),
    "model": "objects",
    "other": "street",
    "data": "data",
    "image": "a.jpg",
}


def made(kind: type[Settings], **values: Any) -> Any:
    required = {option.name: REQUIRED[option.name] for option in fields(kind) if is_required(option)}
    return build(kind, {**required, **values})


@pytest.mark.parametrize("kind", KINDS)
def test_every_option_says_what_it_is_in_a_sentence(kind: type[Settings]) -> None:
    for option in fields(kind):
        assert option.metadata["help"].endswith("."), option.name


@pytest.mark.parametrize("kind", KINDS)
def test_every_default_is_what_its_check_makes_of_it(kind: type[Settings]) -> None:
    settings = made(kind)
    for option in fields(kind):
        if not is_required(option) and option.name != "output":
            assert getattr(settings, option.name) == option.default


@pytest.mark.parametrize(
    "kind, name, wanted",
    [
        (ExplainSettings, "pixel", "two whole numbers with a comma between (at least 0)"),
        (TuneCRFSettings, "smoothness", "two numbers with a comma between (above 0)"),
    ],
)
def test_one_number_is_not_taken_for_two_that_mean_different_things(
    kind: type[Settings], name: str, wanted: str
) -> None:
    with pytest.raises(SettingsError, match=re.escape(f"{name} wants {wanted}, got '3'")):
        made(kind, **{name: "3"})
    assert getattr(made(kind, **{name: "3,4"}), name) == (3, 4)


@pytest.mark.parametrize("kind", KINDS)
def test_settings_come_back_from_plain_values(kind: type[Settings]) -> None:
    assert build(kind, made(kind).as_dict()) == made(kind)


@pytest.mark.parametrize(
    "name, value, wanted",
    [
        ("epochs", "7", 7),
        ("epochs", 7.0, 7),
        ("epochs", np.int64(7), 7),
        ("learning_rate", "5e-4", 5e-4),  # YAML reads it as text
        ("learning_rate", np.float64(0.25), 0.25),
        ("learning_rate", 1, 1.0),
        ("crop_size", 256, (256, 256)),
        ("crop_size", "320,480", (320, 480)),
        ("crop_size", [320, 480], (320, 480)),
        ("scale", "0.75, 1.25", (0.75, 1.25)),
        ("scale", 1, (1.0, 1.0)),
        ("atrous_rates", "6,12,18", (6, 12, 18)),
        ("classes", "way=road|sidewalk, person, background=*", ("way=road|sidewalk", "person", "background=*")),
        ("classes", ["a, b", "c=d"], ("a, b", "c=d")),
        ("classes", {"way": ["road", "sidewalk"], "person": "person"}, ("way=road|sidewalk", "person=person")),
        ("train_splits", "train,val", ("train", "val")),
        ("model_options", '{"multi_grid": [1, 2, 4]}', {"multi_grid": [1, 2, 4]}),
        ("model_options", {"align_corners": False}, {"align_corners": False}),
        ("output_stride", "8", 8),
        ("precision", 32, "32"),
        ("weights", Path("a/b.safetensors"), str(Path("a/b.safetensors"))),
        ("device", "cuda:1", "cuda:1"),
        ("val_limit", None, None),
    ],
)
def test_a_value_becomes_the_type_of_its_option(name: str, value: Any, wanted: Any) -> None:
    converted = getattr(made(TrainSettings, **{name: value}), name)
    assert (converted, type(converted)) == (wanted, type(wanted))


@pytest.mark.parametrize(
    "name, value",
    [
        ("epochs", "five"),
        ("epochs", 0),
        ("epochs", 2.5),
        ("epochs", True),
        ("seed", None),
        ("epochs", [1, 2]),
        ("learning_rate", 0),
        ("learning_rate", "nan"),
        ("learning_rate", float("inf")),
        ("photometric", "False"),
        ("photometric", 0),
        ("crop_size", "1,2,3"),
        ("crop_size", ""),
        ("crop_size", 0),
        ("scale", "2,1"),
        ("scale", "0,1"),
        ("output_stride", 12),
        ("optimizer", "adam"),
        ("optimizer", True),
        ("label_smoothing", 1.5),
        ("device", "gpu"),
        ("model", ""),
        ("model", 3),
        ("scale", {"a": "b"}),
        ("classes", {"way": 3}),
        ("classes", {}),
        ("freeze", "res5"),
        ("layer_decay", 1.5),
        ("bias_multiplier", 0),
        ("auxiliary", -0.4),
        ("hard_pixels", 0),
        ("model_options", "multi_grid"),
        ("model_options", "[1, 2]"),
        ("rare_crops", 1.5),
        ("seed", -1),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=rf"^{name} wants .*, got "):
        made(TrainSettings, **{name: value})


def test_tensorrt_runs_onnx_files() -> None:
    assert made(LoadSettings, model="x.onnx", device="tensorrt:1").device == "tensorrt:1"
    with pytest.raises(SettingsError, match="device tensorrt is for files that 'deeplab export --format onnx"):
        made(LoadSettings, model="street", device="tensorrt")
    with pytest.raises(SettingsError, match="device wants cpu, cuda, cuda:N, mps or auto, got 'tensorrt'"):
        made(TrainSettings, device="tensorrt")
    with pytest.raises(SettingsError, match="device wants cpu, cuda, cuda:N, mps, tensorrt or auto, got 'gpu'"):
        made(LoadSettings, device="gpu")


def test_the_text_false_is_no_switch() -> None:
    with pytest.raises(SettingsError, match="wants true or false, without quotes, got 'False'"):
        made(LoadSettings, flip="False")


def test_a_refusal_names_the_bound() -> None:
    with pytest.raises(SettingsError, match=r"^epochs wants a whole number \(at least 1\), got 0$"):
        made(TrainSettings, epochs=0)


def test_an_auxiliary_head_over_frozen_stages_is_refused() -> None:
    with pytest.raises(SettingsError, match="auxiliary teaches the backbone up to res4, all of which freeze backbone"):
        made(TrainSettings, auxiliary=0.4, freeze="backbone")
    made(TrainSettings, auxiliary=0.4, freeze="res3")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"device": "cuda:1", "devices": 2}, "device cuda:1 is one but devices is 2; take --device cuda"),
        ({"shard": True}, "shard is for several devices but there is one; give --devices, or leave --shard out"),
    ],
)
def test_one_device_is_not_several(options: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=f"^{told}$"):
        build(TrainSettings, {"data": "pets", **options})


@pytest.mark.parametrize("pair", [("epochs", "steps"), ("warmup_epochs", "warmup_steps")])
def test_a_length_is_said_once(pair: tuple[str, str]) -> None:
    with pytest.raises(SettingsError, match=f"^{pair[0]} and {pair[1]} both say how long; leave one out$"):
        made(TrainSettings, **dict.fromkeys(pair, 3))


@pytest.mark.parametrize(
    "text, weights",
    [
        ("dice", {"dice": 1.0}),
        ("cross_entropy+0.5*dice", {"cross_entropy": 1.0, "dice": 0.5}),
        (" 2 * focal + lovasz ", {"focal": 2.0, "lovasz": 1.0}),
    ],
)
def test_a_loss_is_a_weighted_sum_of_names(text: str, weights: dict[str, float]) -> None:
    assert loss_weights(text) == weights
    assert made(TrainSettings, loss=text).loss == text


@pytest.mark.parametrize("text", ["0*dice", "-1*dice", "x*dice", "inf*dice", "*dice", "dice+dice"])
def test_what_is_no_such_sum_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^loss wants names with \+ between, .*; got "):
        made(TrainSettings, loss=text)


def test_an_unknown_loss_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(SettingsError, match=r"^no loss 'dise'; did you mean dice\?$"):
        made(TrainSettings, loss="cross_entropy+dise")


@pytest.mark.parametrize(
    "loss, options, told",
    [
        ("dice", {"hard_pixels": 0.5}, "hard_pixels is an option of cross_entropy and focal, which"),
        ("focal", {"label_smoothing": 0.1}, "label_smoothing is an option of cross_entropy, which"),
        ("cross_entropy", {"focal_gamma": 1.0}, "focal_gamma is an option of focal, which"),
        ("focal", {"hard_pixels_epochs": 1}, "hard_pixels_epochs wants --hard-pixels below 1"),
    ],
)
def test_an_option_that_no_loss_would_look_at_is_refused(loss: str, options: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=f"^{told}"):
        made(TrainSettings, loss=loss, **options)


def test_an_unknown_option_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(SettingsError, match=r"^no option 'epoch'; did you mean epochs\?$"):
        made(TrainSettings, epoch=3)


def test_a_missing_argument_is_said_with_its_help() -> None:
    with pytest.raises(SettingsError, match=r"^data is missing: Folder of the data set\.$"):
        build(TrainSettings, {})


def test_a_scale_of_zero_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"^scales wants numbers with commas between \(above 0, at most 16\)"):
        made(LoadSettings, scales="1,0")


def test_one_input_may_have_a_comma_in_its_name() -> None:
    assert build(SegmentSettings, {"inputs": ["a,b.jpg"]}).inputs == ("a,b.jpg",)


def test_a_name_in_a_list_keeps_its_spaces() -> None:
    assert build(SegmentSettings, {"inputs": [" photo.jpg"]}).inputs == (" photo.jpg",)
    assert build(SegmentSettings, {"inputs": ["a"], "scales": "0.5, 1"}).scales == (0.5, 1.0)


def test_a_scale_that_would_fill_the_memory_is_refused() -> None:
    with pytest.raises(SettingsError, match="at most 16"):
        build(SegmentSettings, {"inputs": ["a"], "scales": "1,1000"})


def test_the_folder_of_a_run_is_named_after_the_data() -> None:
    assert made(TrainSettings, data="some/camvid").output == Path("runs/camvid")


def test_the_folder_of_a_run_has_a_name_for_data_in_the_present_folder() -> None:
    assert made(TrainSettings, data=".").output == Path("runs") / Path.cwd().name


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        made(LoadSettings).flip = True


def test_takes_shows_the_options_as_keywords() -> None:
    @takes(LoadSettings)
    def load(model: str, **options: Any) -> None: ...

    names = [option.name for option in fields(LoadSettings) if option.name != "model"]
    assert list(signature(load).parameters) == ["model", *names]
    assert signature(load).parameters["scales"].default == (1.0,)


def test_a_crf_is_on_by_true_by_a_name_or_by_a_file():
    values = {given: LoadSettings(crf=given).crf for given in (None, False, True, "v1", "own.json")}
    assert values == {None: None, False: None, True: "v2-resnet101", "v1": "v1", "own.json": "own.json"}
    assert build(LoadSettings, LoadSettings(crf=True).as_dict()).crf == "v2-resnet101"
    with pytest.raises(UnknownNameError, match="no CRF preset 'v3'"):
        LoadSettings(crf="v3")


@pytest.mark.parametrize(
    ("checkpoint", "output"),
    [
        ("runs/model.pth", "model.safetensors"),
        ("deeplab-resnet.pth.tar", "deeplab-resnet.safetensors"),
        ("model.ckpt", "model.safetensors"),
        ("model.ckpt.index", "model.safetensors"),
        ("model.ckpt-10000", "model.ckpt-10000.safetensors"),
        ("model.ckpt-60000.index", "model.ckpt-60000.safetensors"),
        ("resnet50.v2", "resnet50.v2.safetensors"),
        ("Weights.PTH", "Weights.safetensors"),
        (".pth", ".pth.safetensors"),
    ],
)
def test_a_converted_file_keeps_all_of_the_checkpoints_name_but_its_endings(checkpoint, output):
    assert str(ConvertSettings(checkpoint=Path(checkpoint)).output) == output
