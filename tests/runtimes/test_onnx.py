"""ONNX files: what they compute, at any size, what they say of themselves, and what is told of broken ones."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="needs the extra onnx")
pytest.importorskip("onnxscript", reason="needs the extra onnx")

import onnx
import onnxruntime

from deeplab import runtimes
from deeplab.errors import CheckpointError, InputNotFoundError, SettingsError
from deeplab.images import read_labels, write_image
from deeplab.inference import Segmenter
from deeplab.runtimes.graph import Graph

CLASSES = ("sky", "road", "tree")
SIZES = [(1, 1), (1, 40), (33, 33), (48, 31), (49, 65)]


@pytest.fixture
def file(file_of):
    return file_of("onnx")


def assert_same(exported, checkpoint, image):
    found, expected = (Segmenter(each, device="cpu")(image).probabilities for each in (exported, checkpoint))
    np.testing.assert_allclose(found, expected, atol=1e-5)  # float32 sums in another order


@pytest.mark.parametrize("size", SIZES)
def test_it_computes_what_the_model_does_at_any_size(file, checkpoint, make_image, size):
    assert_same(runtimes.load(file), checkpoint, make_image(*size))


def test_scales_tiles_mirror_images_and_batches_go_with_it(file, checkpoint, make_image):
    images = [make_image(70, 90, seed) for seed in range(3)]
    for options in ({"scales": (0.5, 1), "flip": True}, {"tile_size": 32}, {"long_side": 40}):
        both = (Segmenter(each, device="cpu", **options) for each in (runtimes.load(file), checkpoint))
        for found, expected in zip(*(each.stream(images, batch_size=2) for each in both), strict=True):
            np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-5)


def test_it_carries_what_the_model_does(file, checkpoint):
    segmenter = Segmenter(runtimes.load(file))
    assert segmenter.classes == CLASSES
    np.testing.assert_array_equal(segmenter.palette, checkpoint.palette)
    assert repr(segmenter) == "Segmenter(deeplabv3plus in ONNX, 3 classes, on cpu)"
    with pytest.raises(CheckpointError, match="cannot be looked into"):
        _ = segmenter.model


def test_other_programs_find_the_label_map_inside(file, checkpoint, make_image):
    image = make_image(48, 63)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (labels,) = session.run(["labels"], {"image": np.stack([image, image[::-1]])})
    assert labels.dtype == np.uint8
    for found, turned in zip(labels, (image, image[::-1]), strict=True):
        assert (found == Segmenter(checkpoint, device="cpu").labels(turned.copy())).mean() > 0.999  # but for ties
    assert json.loads(session.get_modelmeta().custom_metadata_map["deeplab"])["classes"] == list(CLASSES)


def test_the_program_of_the_manual_counts_the_labels(file, checkpoint, tmp_path, make_image):
    page = (Path(__file__).parents[2] / "docs" / "export.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    write_image(tmp_path / "photo.jpg", make_image(48, 63))
    shutil.copy(file, tmp_path / "street.onnx")
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    areas = Segmenter(checkpoint, device="cpu")(tmp_path / "photo.jpg").areas()
    counted = ast.literal_eval(done.stdout)
    assert {name: count for name, count in counted.items() if count} == {
        name: pytest.approx(share * 48 * 63, abs=2) for name, share in areas.items()
    }


def test_batch_norm_is_part_of_the_convolutions(file):
    kinds = {node.op_type for node in onnx.load(file).graph.node}
    assert "Conv" in kinds
    assert "BatchNormalization" not in kinds


def test_windows_scales_and_one_sided_padding_can_be_exported(checkpoint_of, tmp_path, make_image):
    options = {"image_pooling_crop_size": (33, 33), "padding": "same", "align_corners": False, "scales": (0.5, 1.0)}
    checkpoint = checkpoint_of("deeplabv3", **options)
    runtimes.save(tmp_path / "x.onnx", Graph(checkpoint, fixed_size=(40, 71)), format="onnx")  # traced 5 times as fast
    assert_same(runtimes.load(tmp_path / "x.onnx"), checkpoint, make_image(40, 71))


def test_features_of_timm_keep_their_last_row_and_column(checkpoint_of, tmp_path, make_image):
    pytest.importorskip("timm", reason="needs the extra timm")
    checkpoint = checkpoint_of("deeplabv3", backbone="timm/resnet10t")
    runtimes.save(tmp_path / "x.onnx", Graph(checkpoint), format="onnx")
    for size in ((17, 90), (33, 33)):
        assert_same(runtimes.load(tmp_path / "x.onnx"), checkpoint, make_image(*size))


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None  # as if it were not installed
from deeplab.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def test_segmenting_needs_no_torch(file, tmp_path, make_image):
    photo, model = tmp_path / "photo.png", tmp_path / "model.onnx"
    write_image(photo, make_image(40, 50))
    shutil.copy(file, model)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, "segment", photo, "--model", model, "--output", tmp_path / "out"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    np.testing.assert_array_equal(
        read_labels(tmp_path / "out" / "photo.png"), Segmenter(runtimes.load(file))(photo).labels
    )


def edited(path, change):
    proto = onnx.load(path)
    change(proto)
    onnx.save(proto, path)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda proto: proto.metadata_props.pop(), "no description of ours"),
        (lambda proto: setattr(proto.metadata_props[0], "value", '{"format": 1}'), "does not hold together"),
        (lambda proto: setattr(proto.metadata_props[0], "value", "{"), "does not hold together"),
        (lambda proto: setattr(proto.metadata_props[0], "value", '{"format": 99}'), "newer deeplab"),
        (
            lambda proto: setattr(proto.graph.input[0].type.tensor_type.shape.dim[3], "dim_value", 4),
            r"takes \(any, any, any, 4\)|not a complete ONNX file",
        ),
    ],
)
def test_an_edited_file_is_told_in_one_line(file, tmp_path, change, problem):
    path = tmp_path / "edited.onnx"
    shutil.copy(file, path)
    edited(path, change)
    with pytest.raises(CheckpointError, match=problem) as told:
        runtimes.load(path)
    assert "\n" not in str(told.value)


def test_another_number_of_classes_than_described_is_told(file, tmp_path):
    path = tmp_path / "edited.onnx"
    shutil.copy(file, path)

    def drop_a_class(proto):
        values = json.loads(proto.metadata_props[0].value)
        values["classes"].pop()
        values["palette"].pop()
        proto.metadata_props[0].value = json.dumps(values)

    edited(path, drop_a_class)
    with pytest.raises(CheckpointError, match=r"\(N, 2, h, w\) belong to its description"):
        runtimes.load(path)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("fixed_size", [33, 33], r"\(any, any, any, 3\) .* where \(N, 33, 33, 3\)"),
        ("fixed_size", [0, 5], r"fixed_size wants whole numbers of at least 1, got \(0, 5\)"),
        ("fixed_size", [97], "not enough values"),
        ("stride", "4", "stride wants whole numbers of at least 1, got '4'"),
        ("stride", 1.5, "stride wants whole numbers"),
        ("stride", True, "stride wants whole numbers"),
        ("long_side", -5, "long_side wants whole numbers"),
        ("long_side", "x", "long_side wants whole numbers"),
        ("align_corners", "no", "align_corners wants true or false, got 'no'"),
        ("padding", [300, 0, 0], r"colours want values in 0\.\.255, got 300"),
        ("padding", [1, 2], "not enough values"),
        ("palette", [[1, 2, 3], [0, 0, 0], [1, -2, 3]], r"colours want values in 0\.\.255, got -2"),
        ("palette", [[1, 2, 3]], "3 classes, 1 colours"),
    ],
)
def test_an_edited_description_is_told_in_one_line(file, tmp_path, name, value, problem):
    path = tmp_path / "edited.onnx"
    shutil.copy(file, path)

    def change(proto):
        proto.metadata_props[0].value = json.dumps(json.loads(proto.metadata_props[0].value) | {name: value})

    edited(path, change)
    with pytest.raises(CheckpointError, match=f"(does not hold together.*|takes ){problem}") as told:
        runtimes.load(path)
    assert "\n" not in str(told.value)


def test_a_network_of_one_size_does_not_fit_a_description_of_any(checkpoint, tmp_path):
    path = tmp_path / "one.onnx"
    runtimes.save(path, Graph(checkpoint, fixed_size=(33, 40)), format="onnx")

    def forget_the_size(proto):
        proto.metadata_props[0].value = json.dumps(json.loads(proto.metadata_props[0].value) | {"fixed_size": None})

    edited(path, forget_the_size)
    with pytest.raises(CheckpointError, match=r"takes \(1, 33, 40, 3\) .* where \(N, H, W, 3\)"):
        runtimes.load(path)


@pytest.mark.parametrize("kept", [0, 100, 5000])
def test_a_truncated_file_is_told_in_one_line(file, tmp_path, kept):
    path = tmp_path / "short.onnx"
    path.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match="not a complete ONNX file") as told:
        runtimes.load(path)
    assert "\n" not in str(told.value)


def test_a_missing_file_and_another_device_are_told(file, tmp_path):
    with pytest.raises(InputNotFoundError, match=r"no exported file .*none\.onnx"):
        runtimes.load(tmp_path / "none.onnx")
    with pytest.raises(SettingsError, match="onnx files run on cpu, cuda or tensorrt, got 'mps'"):
        runtimes.load(file, device="mps")


def test_a_gpu_that_fails_is_no_damaged_file(file, monkeypatch, tmp_path):
    def session(path, options, *, providers):
        if providers == [cuda]:
            raise RuntimeError("CUDA failure 2: out of memory\n; GPU=0")
        return real(path, options, providers=providers)

    cuda, real = "CUDAExecutionProvider", onnxruntime.InferenceSession
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [cuda, "CPUExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    with pytest.raises(SettingsError, match=r"device cuda: .*CUDA failure 2: out of memory ; GPU=0.*or --device cpu"):
        runtimes.load(file, device="cuda")
    short = tmp_path / "short.onnx"
    short.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match="not a complete ONNX file"):
        runtimes.load(short, device="cuda")


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_gpu_is_asked_for_by_onnxruntimes_name_and_never_silently_missing(file, monkeypatch, device):
    cuda = "CUDAExecutionProvider"
    if cuda in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    with pytest.raises(SettingsError, match=r"device cuda.*is not for it; run: pip install onnxruntime-gpu"):
        runtimes.load(file, device=device)
    asked = []

    def session(path, options, *, providers):
        asked.extend(providers)
        return real(path, options, providers=["CPUExecutionProvider"])

    real = onnxruntime.InferenceSession
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [cuda])
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    with pytest.raises(SettingsError, match=r"device cuda.*onnxruntime finds none"):
        runtimes.load(file, device=device)
    assert asked == [cuda if device == "cuda" else (cuda, {"device_id": "1"})]


def test_tensorrt_compiles_networks_of_one_size_and_leaves_the_rest_to_cuda(file, checkpoint, monkeypatch, tmp_path):
    def session(path, options, *, providers):
        asked.extend(providers)
        found = real(path, options, providers=["CPUExecutionProvider"])
        monkeypatch.setattr(found, "get_providers", lambda: [tensorrt], raising=False)
        return found

    asked, real, tensorrt = [], onnxruntime.InferenceSession, "TensorrtExecutionProvider"
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [tensorrt])
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    cache = tmp_path / "not" / "there"
    monkeypatch.setenv("DEEPLAB_CACHE", str(cache))
    with pytest.raises(SettingsError, match=r"any size and TensorRT those of one; export .* with --fixed-size"):
        runtimes.load(file, device="tensorrt")
    asked.clear()
    one_size = tmp_path / "one.onnx"
    runtimes.save(one_size, Graph(checkpoint, fixed_size=(33, 40)), format="onnx")
    exported = runtimes.load(one_size, device="tensorrt:1")
    assert [name for name, _ in asked] == [tensorrt, "CUDAExecutionProvider"]
    assert [options["device_id"] for _, options in asked] == ["1", "1"]
    assert asked[0][1]["trt_engine_cache_path"] == str(cache / "tensorrt")
    assert (cache / "tensorrt").is_dir()  # TensorRT would make the last folder only
    assert exported.network.device == "cuda:1"
