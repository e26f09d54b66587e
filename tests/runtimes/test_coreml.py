"""Core ML packages: what their program computes, worked out here by what Apple documents of its operators.

https://apple.github.io/coremltools/source/coremltools.converters.mil.mil.ops.defs.html; macOS alone has the engine.
"""

from __future__ import annotations

import gc
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

pytest.importorskip("coremltools", reason="needs the extra coreml")

import coremltools
from coremltools.converters.mil.frontend.milproto.load import load as read_program

from deeplab import runtimes
from deeplab.errors import CheckpointError, OutputError, SettingsError
from deeplab.inference import Segmenter
from deeplab.runtimes._exported import KEY
from deeplab.runtimes.coreml import PARTS
from deeplab.runtimes.graph import Graph

SIZE = (40, 71)


@pytest.fixture(scope="module")
def checkpoint(checkpoint_of):
    return with_biases(checkpoint_of())


@pytest.fixture(scope="module")
def package(checkpoint, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "tiny.mlpackage"
    runtimes.save(path, Graph(checkpoint, fixed_size=SIZE, labels=True), format="coreml")
    return path


@pytest.fixture
def copied(package, tmp_path):
    return shutil.copytree(package, tmp_path / "copied.mlpackage")


@pytest.fixture(autouse=True)
def macos(monkeypatch):
    """As if this were macOS, with `computed` for its engine."""

    def predict(model, given):
        return computed(model, np.array(given["image"]))

    monkeypatch.setattr("deeplab.runtimes.coreml.sys", SimpleNamespace(platform="darwin"))
    monkeypatch.setattr("coremltools.models.MLModel.predict", predict)


@pytest.fixture
def converted(package, monkeypatch):
    """Meanwhile the conversion, which takes seconds, has been made."""
    model = coremltools.models.MLModel(str(package))
    monkeypatch.setattr("deeplab.runtimes.coreml._converted", lambda _: model)


@pytest.mark.parametrize("size", [SIZE, (20, 71), (40, 30)])
def test_its_program_computes_what_the_model_does_on_padded_images(package, checkpoint, make_image, size):
    compare(package, checkpoint, make_image(*size))


def test_edges_on_edges_are_computed_as_well_and_nothing_is_printed(checkpoint_of, make_image, tmp_path, capfd):
    path, checkpoint = tmp_path / "tiny.mlpackage", with_biases(checkpoint_of(align_corners=False))
    runtimes.save(path, Graph(checkpoint, fixed_size=SIZE), format="coreml")
    assert capfd.readouterr() == ("", "")  # of how far coremltools is
    compare(path, checkpoint, make_image(*SIZE))


def test_the_label_map_is_inside(package, checkpoint, make_image):
    image = make_image(*SIZE)
    model = coremltools.models.MLModel(str(package))
    found = model.predict({"image": image})["labels"]
    assert found.shape == (1, *SIZE)
    assert (found[0] == Segmenter(checkpoint, device="cpu").labels(image)).mean() > 0.999  # but for ties


def test_it_takes_a_picture_and_gives_arrays(package):
    described = coremltools.models.MLModel(str(package)).get_spec().description
    (image,), (logits, labels) = described.input, described.output
    picture = image.type.imageType
    assert (image.name, picture.height, picture.width, picture.colorSpace) == ("image", *SIZE, picture.RGB)
    types = logits.type.multiArrayType
    assert (logits.name, list(types.shape)[:2], types.dataType) == ("logits", [1, 3], types.FLOAT32)
    types = labels.type.multiArrayType
    assert (labels.name, list(types.shape), types.dataType) == ("labels", [1, *SIZE], types.INT32)


def test_all_of_it_is_in_float32(package):
    program = str(coremltools.models.MLModel(str(package)).get_spec().mlProgram)
    assert "FLOAT32" in program
    assert "FLOAT16" not in program


def test_it_carries_what_the_model_does(package, checkpoint):
    segmenter = Segmenter(runtimes.load(package))
    assert segmenter.classes == checkpoint.classes
    assert repr(segmenter) == "Segmenter(deeplabv3plus in Core ML, 3 classes, on cpu)"


@pytest.mark.usefixtures("converted")
def test_a_package_is_its_parts_alone(checkpoint, tmp_path):
    path = tmp_path / "tiny.MLPACKAGE"
    runtimes.save(path, Graph(checkpoint, fixed_size=SIZE), format="coreml")
    assert list(tmp_path.iterdir()) == [path]
    assert sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()) == sorted(PARTS)


def test_other_weights_have_another_fingerprint(package, copied):
    before = runtimes.load(package).network.fingerprint()
    assert runtimes.load(copied).network.fingerprint() == before
    weights = copied / PARTS[-1]
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert runtimes.load(copied).network.fingerprint() != before


@pytest.mark.usefixtures("converted")
def test_one_that_is_there_stays(checkpoint, copied):
    before = (copied / PARTS[1]).read_bytes()
    with pytest.raises(OutputError, match=r"copied\.mlpackage: cannot be written"):
        runtimes.save(copied, Graph(checkpoint, fixed_size=SIZE), format="coreml")
    assert (copied / PARTS[1]).read_bytes() == before


def test_any_size_and_eight_bits_are_refused(checkpoint, tmp_path):
    with pytest.raises(SettingsError, match="coreml files take images of one size; name it with --fixed-size"):
        runtimes.save(tmp_path / "x.mlpackage", Graph(checkpoint), format="coreml")
    int8 = runtimes.Int8([np.zeros((1, 8, 8, 3), np.uint8)] * 8)
    with pytest.raises(SettingsError, match="int8 is for onnx, openvino and litert, not for coreml"):
        runtimes.save(tmp_path / "x.mlpackage", Graph(checkpoint, fixed_size=SIZE), format="coreml", int8=int8)


@pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning")  # after coremltools
def test_an_operator_that_coremltools_does_not_know_is_told(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(Graph, "network", lambda _: Unknown())
    with pytest.raises(SettingsError, match="coreml cannot hold this model") as told:
        runtimes.save(tmp_path / "x.mlpackage", Graph(checkpoint, fixed_size=SIZE), format="coreml")
    assert "\n" not in str(told.value)
    assert list(tmp_path.iterdir()) == []
    del told
    gc.collect()


@pytest.mark.parametrize(("part", "kept"), [(PARTS[0], None), (PARTS[0], 0), (PARTS[1], None), (PARTS[1], 100)])
def test_a_damaged_package_is_told_in_one_line(copied, part, kept):
    file = copied / part
    content = file.read_bytes()
    file.unlink()
    if kept is not None:
        file.write_bytes(content[:kept])
    with pytest.raises(CheckpointError, match="not a complete Core ML package") as told:
        runtimes.load(copied)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"format": 9}, "newer deeplab"),
        ({"classes": ["sky", "tree"]}, "does not hold together"),
        ({"classes": ["sky", "tree"], "palette": [[0, 0, 0], [1, 1, 1]]}, "belong to its description"),
        (None, "no description of ours"),
    ],
)
def test_an_edited_package_is_told_in_one_line(copied, tmp_path, change, problem):
    model = coremltools.models.MLModel(str(copied))
    if change is None:
        del model.user_defined_metadata[KEY]
    else:
        model.user_defined_metadata[KEY] = json.dumps({**json.loads(model.user_defined_metadata[KEY]), **change})
    model.save(str(tmp_path / "edited.mlpackage"))
    with pytest.raises(CheckpointError, match=problem) as told:
        runtimes.load(tmp_path / "edited.mlpackage")
    assert "\n" not in str(told.value)


def with_biases(checkpoint):
    """Into which the norms are folded, and which would be zero."""
    for module in checkpoint.model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.bias, std=0.1)
    return checkpoint


def compare(package, checkpoint, image):
    graph = Graph(checkpoint, fixed_size=SIZE)
    reference = runtimes.reference(graph, Segmenter(checkpoint, device="cpu").network.coarse_logits)
    found, expected = (Segmenter(each)(image).probabilities for each in (runtimes.load(package), reference))
    np.testing.assert_allclose(found, expected, atol=1e-5)  # float32 sums in another order


class Unknown(nn.Module):
    def forward(self, image):
        return torch.special.bessel_j0(image)


def operations(model):
    spec = model.get_spec()
    return read_program(spec, spec.specificationVersion, model.weights_dir).functions["main"].operations


def computed(model, image):
    """The outputs of the program in a package, weights and all, from uint8 (H, W, 3)."""
    values = {"image": torch.from_numpy(image).permute(2, 0, 1)[None].float()}

    def value(given):
        if isinstance(given, tuple | list):
            return [value(each) for each in given]
        return values[given.name] if given.name in values else plain(given.val)

    for operation in operations(model):
        if operation.op_type != "const":
            inputs = {name: value(given) for name, given in operation.inputs.items() if given is not None}
            values[operation.outputs[0].name] = OPERATORS[operation.op_type](**inputs)
    return {output.name: values[output.name].numpy() for output in model.get_spec().description.output}


def plain(constant):
    """Numbers of pixels, axes and the like as Python has them, weights as tensors."""
    if isinstance(constant, np.ndarray) and constant.dtype == np.float32:
        return torch.from_numpy(constant)
    return constant.tolist() if isinstance(constant, np.ndarray | np.generic) else constant


def convolved(x, weight, strides, dilations, groups, bias=None, pad=(0, 0, 0, 0), pad_type="custom"):
    assert pad_type in ("custom", "valid")
    return functional.conv2d(around(x, pad), weight, bias, strides, dilation=dilations, groups=groups)


def pooled(x, kernel_sizes, strides, pad, pad_type="custom", ceil_mode=False):
    assert (pad_type, ceil_mode) == ("custom", False)
    return functional.max_pool2d(around(x, pad, -torch.inf), kernel_sizes, strides)


def around(x, pad, value=0.0):
    """`pad`: before and after each of the last two dimensions."""
    top, bottom, left, right = pad[-4:]
    return functional.pad(x, (left, right, top, bottom), value=value)


def upsampled(x, scale_factor_height, scale_factor_width, align_corners):
    """The size is rounded down; without `align_corners` the factor says where the samples lie."""
    factors = (scale_factor_height, scale_factor_width)
    if align_corners:
        size = [int(length * factor) for length, factor in zip(x.shape[-2:], factors, strict=True)]
        return functional.interpolate(x, size, mode="bilinear", align_corners=True)
    return functional.interpolate(x, scale_factor=factors, mode="bilinear", recompute_scale_factor=False)


def cut(x, begin, end, end_mask):
    """Masked: to the last."""
    limits = zip(begin, end, end_mask, strict=True)
    return x[tuple(slice(first, None if masked else last) for first, last, masked in limits)]


OPERATORS = {
    "add": lambda x, y: x + y,
    "concat": lambda values, axis, interleave: torch.cat(values, dim=axis),
    "conv": convolved,
    "max_pool": pooled,
    "mul": lambda x, y: x * y,
    "pad": lambda x, pad, mode, constant_val: around(x, pad, constant_val),
    "reduce_argmax": lambda x, axis, keep_dims: x.argmax(dim=axis, keepdim=keep_dims),
    "reduce_mean": lambda x, axes, keep_dims: x.mean(dim=axes, keepdim=keep_dims),
    "relu": torch.relu,
    "slice_by_index": cut,
    "sub": lambda x, y: x - y,
    "upsample_bilinear": upsampled,
}
