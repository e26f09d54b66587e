"""`deeplab convert`: finds the system, writes our file, says what is wrong in a line."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from deeplab import checkpoints
from deeplab.cli.convert import assumptions, in_order, left_behind, rows
from deeplab.models import create_model
from deeplab.weight_files import STATE
from deeplab.weights import Conversion, LayerDifference, huggingface, sources

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


def test_classes_are_called_as_they_are_named(run: Run, theirs: Path, tmp_path: Path) -> None:
    out = tmp_path / "ours.safetensors"
    assert run("convert", theirs, "--output", out, "--classes", "field, wood").status == 0
    assert checkpoints.load(out).classes == ("field", "wood")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("field", "classes names 1 but FILE has 2 classes; name all, in their order"),
        ("field,wood,water", "classes names 3 but FILE has 2 classes; name all, in their order"),
        ("field,field", "classes wants each name once, got field, field"),
        ("field=class 0,wood", "classes wants names alone, without *, = and |, got 'field=class 0'"),
    ],
)
def test_names_that_are_not_those_of_all_classes_are_one_line(
    run: Run, theirs: Path, tmp_path: Path, names: str, message: str
) -> None:
    status, _, err = run("convert", theirs, "--output", tmp_path / "ours.safetensors", "--classes", names)
    assert (status, err) == (2, f"deeplab: {message.replace('FILE', str(theirs))}\n")
    assert not (tmp_path / "ours.safetensors").exists()


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
    assert "assumed, for the file does not tell: output stride 16; long side 513" in lines
    figures = json.loads(last)
    assert figures["tensors"]["segmentation_head.classifier.convolution.bias"] == "classify.bias"
    assert figures["left"] == ["mobilenet_v2.conv_1x1.convolution.weight", "mobilenet_v2.conv_1x1.normalization.weight"]
    assert figures["assumed"] == {"output_stride": 16, "long_side": 513}
    assert len(figures["tensors"]) == sum(int(line.split("\t")[2].split()[0]) for line in lines if "\t" in line)


def test_what_is_assumed_is_said_in_words() -> None:
    assumed = {"classes": "Cityscapes", "atrous_rates": (6, 12, 18), "image_pooling_crop_size": [512, 1024]}
    assert assumptions(assumed) == (
        "assumed, for the file does not tell: the class names of Cityscapes; atrous rates 6, 12, 18; "
        "image pooling crop size 512, 1024"
    )
    assert assumptions({"classes": "one logit"}).endswith("tell: background and object for one logit")


def test_the_rows_are_in_the_order_of_our_model_also_where_the_file_sorts_names(run: Run, theirs: Path) -> None:
    conversion = huggingface.convert(theirs)
    by_name = replace(conversion, placed={name: conversion.placed[name] for name in sorted(conversion.placed)})
    blocks = [ours.split(".")[2] for ours in in_order(by_name).values() if ours.startswith("backbone.blocks.")]
    assert list(dict.fromkeys(blocks)) == [str(number) for number in range(17)]
    assert in_order(by_name) == conversion.placed


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


def test_the_official_code_agrees_as_it_was_recorded(run: Run, shared: Path, tmp_path: Path) -> None:
    folder = shared / "golden/tf_deeplab/mobilenetv2_voc"
    with np.load(folder / "os16_129x97.npz") as recorded:
        np.savez(tmp_path / "golden.npz", image=recorded["image"], logits=recorded["logits"])
    options = ("--output", tmp_path / "ours.safetensors", "--golden", tmp_path / "golden.npz", "--json")
    status, printed, _ = run("convert", folder / "model.ckpt", *options)
    assert status == 0
    assert json.loads(printed.splitlines()[-1])["comparison"]["logits"] < 2e-4


def test_a_system_without_a_package_says_so(run: Run, shared: Path, tmp_path: Path) -> None:
    checkpoint = shared / "golden/tf_deeplab/mobilenetv2_voc/model.ckpt"
    _, printed, _ = run("convert", checkpoint, "--output", tmp_path / "ours.safetensors", "--json")
    assert "not compared: tensorflow has no such network that runs here" in printed
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


def test_the_checkpoint_is_not_written_over(
    run: Run, theirs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_file(torch.load(theirs), "model.safetensors")
    before = Path("model.safetensors").read_bytes()
    status, _, err = run("convert", "model.safetensors")
    assert status == 2
    assert "model.safetensors is the checkpoint itself; choose another --output" in err
    assert Path("model.safetensors").read_bytes() == before


def test_a_model_file_of_ours_is_told_also_where_the_output_has_its_name(
    run: Run, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny.parent)
    status, _, err = run("convert", tiny.name)
    assert (status, len(err.splitlines())) == (2, 1)
    assert f"{tiny.name}: a model file of ours already" in err


def test_a_file_that_is_not_there_is_said_with_what_is_wanted(run: Run, tmp_path: Path) -> None:
    err = refused(run, tmp_path / "nofile.pth", f"no checkpoint file {tmp_path / 'nofile.pth'}; wanted the path of")
    assert ".safetensors" in err


@pytest.mark.parametrize(("name", "system"), [("model.ckpt", "tensorflow"), ("x.tflite", "tflite")])
def test_a_file_that_one_system_alone_writes_is_not_read_as_of_another(
    run: Run, tmp_path: Path, name: str, system: str
) -> None:
    (tmp_path / (f"{name}.index" if system == "tensorflow" else name)).write_bytes(b"\x00")
    refused(
        run,
        tmp_path / name,
        f"a file of {system}, not of torchvision; use --source {system}",
        "--source",
        "torchvision",
    )


def test_the_help_names_every_source(run: Run) -> None:
    status, printed, _ = run("convert", "--help")
    assert status == 0
    assert f"The system: {', '.join(sources())}; auto finds it." in " ".join(printed.split())


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
    assert "none of the systems that we read (detectron2, " in err


LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 243987\n"


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("x.pth", b"", "empty"),
        ("x.pth", LFS_POINTER, "a Git LFS pointer"),
        ("x.safetensors", LFS_POINTER, "a Git LFS pointer"),
        ("model.ckpt.index", LFS_POINTER, "a Git LFS pointer"),
        ("x.tflite", b"\n<!DOCTYPE html><html>404</html>", "a web page"),
        ("x.pth", b"<html>sign in</html>", "a web page"),
        ("x.tar.gz", b"\x1f\x8b\x08\x00", "a packed archive; unpack it"),
        ("x.onnx", b"\x08\x08\x12\x07pytorch", "an ONNX model"),
        ("x.h5", b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        ("photo.jpg", b"\xff\xd8\xff\xe0\x00\x10JFIF", "an image, not weights"),
        ("photo.png", b"\x89PNG\r\n\x1a\n", "an image, not weights"),
        ("photo.webp", b"RIFF\x1a\x00\x00\x00WEBP", "an image, not weights"),
        ("photo.tif", b"II*\x00\x08\x00", "an image, not weights"),
        ("photo.bmp", b"BM\x1a\x00", "an image, not weights"),
        (
            "model.ckpt-30.data-00000-of-00002",
            b"\x00\x01",
            "the data of a TensorFlow checkpoint; name it without that: model.ckpt-30\n",
        ),
    ],
)
@pytest.mark.parametrize("source", ["auto", "torchvision"])
def test_a_file_of_another_kind_is_told(
    run: Run, tmp_path: Path, name: str, content: bytes, problem: str, source: str
) -> None:
    (tmp_path / name).write_bytes(content)
    refused(run, tmp_path / name, f"{name}: {problem}", "--source", source)


def test_a_damaged_frozen_graph_is_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.pb").write_bytes(b"\x0a\x1b")
    refused(run, tmp_path / "x.pb", "x.pb: no frozen TensorFlow graph, or a damaged one")


def test_a_torchscript_archive_is_told(run: Run, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        for name in ("x/data.pkl", "x/constants.pkl", "x/code/__torch__.py"):
            archive.writestr(name, b"")
    refused(run, tmp_path / "x.pt", "x.pt: a TorchScript archive, which holds code; save the state_dict()")


def test_another_zip_is_told(run: Run, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.pth", "w") as archive:
        archive.writestr("photos/1.jpg", b"")
    refused(run, tmp_path / "x.pth", "x.pth: a .zip that is no checkpoint; unpack it")


def test_a_folder_is_told(run: Run, theirs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(run, theirs.parent, f"{theirs.parent}: a folder; name the file of weights in it")
    monkeypatch.chdir(theirs.parent)
    refused(run, Path(), ".: a folder; name the file of weights in it")


def test_a_model_file_of_ours_is_told(run: Run, tiny: Path) -> None:
    refused(run, tiny, "a model file of ours already; use it as it is")


def test_code_in_a_file_is_not_run(run: Run, theirs: Path, tmp_path: Path) -> None:
    class Malicious:
        def __reduce__(self) -> Any:
            return (tmp_path.joinpath("ran").touch, ())

    torch.save({**torch.load(theirs), "hook": Malicious()}, tmp_path / "evil.pth")
    refused(run, tmp_path / "evil.pth", "evil.pth: holds more than tensors or is damaged, and is not opened")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kept", [0.001, 0.5, 0.999])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_truncated_file_is_told(run: Run, theirs: Path, tmp_path: Path, suffix: str, kept: float) -> None:
    path = tmp_path / f"cut{suffix}"
    if suffix == ".safetensors":
        save_file({name: tensor.contiguous() for name, tensor in torch.load(theirs).items()}, path)
    else:
        path.write_bytes(theirs.read_bytes())
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    refused(run, path, f"{path.name}: ")


BIAS, STEM = "segmentation_head.classifier.convolution.bias", "mobilenet_v2.conv_stem.first_conv.convolution.weight"


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({BIAS: torch.zeros(5)}, r"classify\.weight is \(2, 256, 1, 1\), wanted \(5, 256, 1, 1\)"),
        ({BIAS: torch.zeros(0)}, "num_classes .* at least 1"),
        ({BIAS: torch.tensor(1.0)}, "do not fit together"),
        ({BIAS: None}, "no classifier in it; wanted MobileNetV2ForSemanticSegmentation"),
        ({STEM: None}, r"1 tensors are missing, backbone\.stem\.conv\.weight"),
        ({"decode_head.weight": torch.zeros(1)}, r"'decode_head\.weight' has no place in the model"),
        ({STEM: torch.zeros(16, 3, 3, 3, dtype=torch.int8)}, r"backbone\.stem\.conv\.weight holds int8"),
        ({STEM: torch.full((16, 3, 3, 3), torch.nan)}, r"backbone\.stem\.conv\.weight has values that are not finite"),
        ({STEM: torch.full((16, 3, 3, 3), 1e300, dtype=torch.float64)}, "not finite in float32"),
        ({STEM: torch.zeros(7)}, r"backbone\.stem\.conv\.weight is \(7,\), wanted"),
        ({"mobilenet_v2.layer.15.reduce_1x1.convolution.weight": torch.tensor(1.0)}, "do not fit together"),
    ],
)
def test_wrong_tensors_are_told(run: Run, theirs: Path, changed: dict[str, Any], problem: str) -> None:
    state = {**torch.load(theirs), **changed}
    torch.save({name: tensor for name, tensor in state.items() if tensor is not None}, theirs)
    err = refused(run, theirs, "theirs.bin: ", "--source", "huggingface")
    assert re.search(problem, err)


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({STEM: None}, r"1 tensors are missing, backbone\.stem\.conv\.weight for one"),
        ({"decode_head.weight": torch.zeros(1)}, r"'decode_head\.weight' has no place in the model"),
        ({STEM: torch.zeros(7)}, r"backbone\.stem\.conv\.weight is \(7,\), wanted"),
    ],
)
def test_what_the_nearest_system_misses_is_told_without_its_name(
    run: Run, theirs: Path, changed: dict[str, Any], problem: str
) -> None:
    state = {**torch.load(theirs), **changed}
    torch.save({name: tensor for name, tensor in state.items() if tensor is not None}, theirs)
    err = refused(run, theirs, "of none of the systems that we read; the nearest is huggingface: ")
    assert re.search(problem, err)


@pytest.mark.parametrize("content", [{}, [torch.zeros(1)], torch.zeros(1), {"epoch": 3}, {"state_dict": {}}, None])
def test_a_file_without_weights_is_told(run: Run, tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "x.pth")
    refused(run, tmp_path / "x.pth", "x.pth: no weights in it; wanted names and tensors")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(run: Run, theirs: Path, tmp_path: Path, dtype: torch.dtype) -> None:
    state = torch.load(theirs)
    torch.save({name: tensor.to(dtype) for name, tensor in state.items()}, theirs)
    out = tmp_path / "ours.safetensors"
    assert run("convert", theirs, "--output", out).status == 0
    converted = checkpoints.load(out).model.state_dict()
    assert {tensor.dtype for tensor in converted.values() if tensor.is_floating_point()} == {torch.float32}
    expected = state[BIAS.replace("bias", "weight")].to(dtype).float()
    torch.testing.assert_close(converted["classify.weight"], expected, rtol=0, atol=0)


def test_the_weights_are_taken_and_their_running_mean_is_said_to_be_left(
    run: Run, theirs: Path, tmp_path: Path
) -> None:
    state = torch.load(theirs)
    mean = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    mixed = {**state, **{"ema_" + name.replace(".", "_"): tensor for name, tensor in mean.items()}}
    averaged = {"n_averaged": torch.tensor(3), **{f"module.{name}": tensor for name, tensor in mean.items()}}
    torch.save({"model": {"state_dict": mixed}, "model_ema": averaged, "epoch": 1}, theirs)
    out = tmp_path / "ours.safetensors"
    status, printed, _ = run("convert", theirs, "--output", out)
    assert status == 0
    count = sum(not name.endswith("num_batches_tracked") for name in state)
    assert f"left, only training uses it: ema_* ({count} tensors)" in printed
    assert f"left, only training uses it: model_ema.* ({count + 1} tensors)" in printed
    assert checkpoints.load(out).model.state_dict()["classify.weight"].any()


def refused(run: Run, path: Path, problem: str, *options: str) -> str:
    """One line of error with this problem in it, and no new file."""
    before = sorted(path.parent.rglob("*"))
    status, printed, err = run("convert", path, "--output", path.parent / "new/ours.safetensors", *options)
    assert (status, printed, len(err.splitlines())) == (2, "", 1)
    assert problem in err
    assert sorted(path.parent.rglob("*")) == before
    return err


def test_the_output_has_to_be_a_safetensors_file(run: Run, theirs: Path) -> None:
    status, _, err = run("convert", theirs, "--output", "x.pth")
    assert status == 2
    assert "ends in .safetensors" in err


def test_a_tensorflow_checkpoint_goes_by_the_name_of_its_files(run: Run, shared: Path, tmp_path: Path) -> None:
    checkpoint = shared / "golden/tf_deeplab/mobilenetv2_voc/model.ckpt"
    status, out, _ = run("convert", checkpoint, "--output", tmp_path / "ours.safetensors")
    assert status == 0
    assert "deeplabv3 on mobilenetv2, 21 classes" in out


def test_the_state_of_a_training_is_told_with_the_models_beside_it(run: Run, tmp_path: Path) -> None:
    for name in (STATE, "best.safetensors", "last.safetensors"):
        (tmp_path / name).write_bytes(b"PK")
    status, _, err = run("convert", tmp_path / STATE, "--output", tmp_path / "ours.safetensors")
    assert status == 2
    assert err == (
        f"deeplab: {tmp_path / STATE}: what a training is resumed from; the model is {tmp_path / 'best.safetensors'} "
        f"or {tmp_path / 'last.safetensors'}\n"
    )
