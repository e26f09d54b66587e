"""`deeplab convert`: finds the system, writes our file, says what is wrong in a line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from deeplab import checkpoints
from deeplab.models import create_model

Run = Callable[..., Any]

RENAMED = {"conv": "convolution", "norm": "normalization"}


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A file of MobileNetV2ForSemanticSegmentation with two classes, by our own weights under its names."""
    torch.manual_seed(0)
    model = create_model("deeplabv3", num_classes=2, depth_multiplier=0.35, padding="same", atrous_rates=())
    state = {}
    for name, tensor in model.state_dict().items():
        parts = name.split(".")
        place, kind = parts[:-2], RENAMED.get(parts[-2], "convolution")
        if parts[0] == "backbone":
            if parts[1] == "stem":
                place = ["mobilenet_v2", "conv_stem", "first_conv"]
            else:
                unit = {"expand": "expand_1x1", "depthwise": "conv_3x3", "project": "reduce_1x1"}[parts[3]]
                layer = ["conv_stem"] if parts[2] == "0" else ["layer", str(int(parts[2]) - 1)]
                place = ["mobilenet_v2", *layer, unit]
        elif parts[0] == "aspp":
            ours = {"image_pooling": "conv_pool", "pointwise": "conv_aspp", "project": "conv_projection"}
            place = ["segmentation_head", ours[parts[1]]]
        elif parts[0] == "classify":
            place = ["segmentation_head", "classifier"]
        else:
            continue
        state[".".join([*place, kind, parts[-1]])] = tensor
    torch.save(state, tmp_path / "theirs.bin")
    return tmp_path / "theirs.bin"


def test_the_system_is_found_and_the_file_loads(run: Run, theirs: Path, tmp_path: Path) -> None:
    out = tmp_path / "ours.safetensors"
    status, printed, _ = run("convert", theirs, "--output", out, "--json")
    assert status == 0
    figures = json.loads(printed.splitlines()[-1])
    assert (figures["model"], figures["backbone"], figures["output"]) == ("deeplabv3", "mobilenetv2", str(out))
    assert figures["source"] == "huggingface"
    assert checkpoints.load(out).training == {"converted_from": "theirs.bin", "source": "huggingface"}
    assert checkpoints.load(out).classes == ("class 0", "class 1")


def test_a_wrong_source_is_told_by_a_tensor(run: Run, theirs: Path, tmp_path: Path) -> None:
    out = tmp_path / "ours.safetensors"
    status, _, err = run("convert", theirs, "--source", "torchvision", "--output", out)
    assert status == 2
    assert "has no place in the model" in err
    assert not out.exists()


def test_an_unknown_source_names_those_there_are(run: Run, theirs: Path) -> None:
    status, _, err = run("convert", theirs, "--source", "torchvison")
    assert status == 2
    assert "torchvision" in err


@pytest.mark.parametrize("content", [b"", b"nonsense"])
def test_a_file_that_cannot_be_read_is_said_in_a_line(run: Run, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.pth").write_bytes(content)
    status, _, err = run("convert", tmp_path / "x.pth")
    assert status == 2
    assert len(err.splitlines()) == 1
    assert "x.pth: " in err


def test_weights_of_no_system_are_said(run: Run, tmp_path: Path) -> None:
    torch.save({"layer.weight": torch.zeros(1)}, tmp_path / "x.pth")
    status, _, err = run("convert", tmp_path / "x.pth")
    assert status == 2
    assert len(err.splitlines()) == 1
    assert "none of the systems that we read" in err


def test_the_output_has_to_be_a_safetensors_file(run: Run, theirs: Path) -> None:
    status, _, err = run("convert", theirs, "--output", "x.pth")
    assert status == 2
    assert "ends in .safetensors" in err


def test_a_tensorflow_checkpoint_goes_by_the_name_of_its_files(run: Run, shared: Path, tmp_path: Path) -> None:
    checkpoint = shared / "golden/tf_deeplab/mobilenetv2_voc/model.ckpt"
    status, out, _ = run("convert", checkpoint, "--output", tmp_path / "ours.safetensors")
    assert status == 0
    assert "deeplabv3 on mobilenetv2, 21 classes" in out
