"""`deeplab convert`: finds the system, writes our file, says what is wrong in a line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deeplab import checkpoints
from deeplab.cli.convert import left_behind, rows
from deeplab.models import create_model
from deeplab.weights import Conversion, LayerDifference, huggingface

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
    state["mobilenet_v2.conv_1x1.convolution.weight"] = torch.zeros(8)
    state["mobilenet_v2.conv_1x1.normalization.weight"] = torch.zeros(8)
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


def test_what_is_printed_says_where_every_tensor_went_and_what_was_left(run: Run, theirs: Path, tmp_path: Path) -> None:
    _, printed, _ = run("convert", theirs, "--output", tmp_path / "ours.safetensors", "--json")
    *lines, last = printed.splitlines()
    assert lines[:3] == [
        "mobilenet_v2.conv_stem\tbackbone.stem\t5 tensors",
        "mobilenet_v2.conv_stem\tbackbone.blocks.0\t10 tensors",
        "mobilenet_v2.layer\tbackbone.blocks\t240 tensors",
    ]
    assert "segmentation_head.classifier\tclassify\t2 tensors" in lines
    assert "left, only training uses it: mobilenet_v2.conv_1x1.* (2 tensors)" in lines
    figures = json.loads(last)
    assert figures["tensors"]["segmentation_head.classifier.convolution.bias"] == "classify.bias"
    assert figures["left"] == ["mobilenet_v2.conv_1x1.convolution.weight", "mobilenet_v2.conv_1x1.normalization.weight"]
    assert len(figures["tensors"]) == sum(int(line.split("\t")[2].split()[0]) for line in lines if "\t" in line)


def test_the_slots_of_an_optimizer_are_told_from_weights() -> None:
    placed = {"aspp0/weights": "aspp.pointwise.conv.weight", "aspp0/BatchNorm/beta": "aspp.pointwise.norm.bias"}
    left = ("global_step", "aspp0/weights/Momentum", "aspp0/BatchNorm/beta/Momentum")
    conversion = Conversion(checkpoint=None, placed=placed, left=left)  # type: ignore[arg-type]
    assert sorted(left_behind(conversion)) == [("*/Momentum", 2), ("global_step", 1)]


def test_the_output_stride_can_be_chosen(run: Run, theirs: Path, tmp_path: Path) -> None:
    out = tmp_path / "ours.safetensors"
    assert run("convert", theirs, "--output", out, "--output-stride", "8").status == 0
    assert checkpoints.load(out).model.arguments["output_stride"] == 8


def test_the_file_is_named_after_the_checkpoint(
    run: Run, theirs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    status, printed, _ = run("convert", theirs)
    assert status == 0
    assert printed.splitlines()[-1].startswith("theirs.safetensors: from huggingface, deeplabv3 on mobilenetv2")
    assert [path.name for path in Path().iterdir()] == ["theirs.safetensors"]


@pytest.fixture
def golden(theirs: Path) -> Callable[..., Path]:
    """`golden(scale)`: an image and the logits of those weights for it, times `scale`."""

    def write(scale: float) -> Path:
        model = huggingface.convert(theirs).checkpoint.model
        image = np.random.default_rng(0).integers(0, 256, (65, 81, 3), np.uint8)
        with torch.inference_mode():
            logits = model(torch.from_numpy(image).permute(2, 0, 1)[None] / 255).numpy()
        np.savez(theirs.with_name("golden.npz"), image=image, logits=logits * scale)
        return theirs.with_name("golden.npz")

    return write


def test_golden_outputs_are_compared(run: Run, theirs: Path, golden: Callable[..., Path], tmp_path: Path) -> None:
    out = tmp_path / "ours.safetensors"
    status, printed, _ = run("convert", theirs, "--output", out, "--golden", golden(1), "--json")
    assert status == 0
    assert f"compared with {tmp_path / 'golden.npz'}: the logits differ by at most" in printed
    assert "of their standard deviation, within 2e-04; 100.00% of the labels are equal" in printed
    assert json.loads(printed.splitlines()[-1])["comparison"]["equal_labels"] == 1


def test_a_file_is_not_written_where_the_outputs_differ(
    run: Run, theirs: Path, golden: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / "new/ours.safetensors"
    status, printed, err = run("convert", theirs, "--output", out, "--golden", golden(1.01))
    assert status == 2
    assert "above 2e-04" in printed
    assert len(err.splitlines()) == 1
    assert err.startswith(f"deeplab: {theirs}: the logits are not those of the other system")
    assert not out.parent.exists()


def test_a_system_without_a_package_says_so(run: Run, shared: Path, tmp_path: Path) -> None:
    checkpoint = shared / "golden/tf_deeplab/mobilenetv2_voc/model.ckpt"
    _, printed, _ = run("convert", checkpoint, "--output", tmp_path / "ours.safetensors", "--json")
    assert "not compared: tensorflow is not installed here" in printed
    assert json.loads(printed.splitlines()[-1])["comparison"] is None


def test_the_largest_difference_of_each_part_is_in_its_row() -> None:
    placed = {"layer1.0.conv1.weight": "backbone.res2.0.conv.weight", "layer1.0.bn1.bias": "backbone.res2.0.norm.bias"}
    placed["head.weight"] = "classify.weight"
    layers = [
        LayerDifference("layer1.0.conv1", "backbone.res2.0.conv", 1e-6),
        LayerDifference("layer1.0.bn1", "backbone.res2.0.norm", 3e-6),
        LayerDifference("aspp", "aspp", 2e-6),
    ]
    assert list(rows(placed, layers)) == [
        ("layer1.0", "backbone.res2.0", "2 tensors", "3.0e-06"),
        ("head", "classify", "1 tensor", "-"),
        ("aspp", "aspp", "", "2.0e-06"),
    ]


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
