"""LiteRT files: what they compute, operator by operator where PyTorch and LiteRT differ, and what is told."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("ai_edge_litert", reason="needs the extra litert")

from ai_edge_litert.interpreter import Interpreter

from deeplab import runtimes
from deeplab.errors import CheckpointError, SettingsError
from deeplab.inference import Segmenter
from deeplab.layers import MaxPool, PaddedConv, resize
from deeplab.layers.conv import Clip, HardSigmoid
from deeplab.runtimes._tflite import to_tflite
from deeplab.runtimes.graph import Graph

SIZE = (40, 71)


@pytest.fixture(scope="module")
def file(checkpoint, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "tiny.tflite"
    runtimes.save(path, Graph(checkpoint, fixed_size=SIZE, labels=True), format="litert")
    return path


@pytest.mark.parametrize("size", [SIZE, (20, 71), (40, 30)])
def test_it_computes_what_the_model_does_on_padded_images(file, checkpoint, make_image, size):
    graph = Graph(checkpoint, fixed_size=SIZE)
    reference = runtimes.reference(graph, Segmenter(checkpoint, device="cpu").network.coarse_logits)
    found, expected = (Segmenter(each)(make_image(*size)).probabilities for each in (runtimes.load(file), reference))
    np.testing.assert_allclose(found, expected, atol=1e-5)  # float32 sums in another order


def test_it_carries_what_the_model_does(file, checkpoint, capfd):
    segmenter = Segmenter(runtimes.load(file))
    assert segmenter.classes == checkpoint.classes
    assert repr(segmenter) == "Segmenter(deeplabv3plus in LiteRT, 3 classes, on cpu)"
    assert capfd.readouterr() == ("", "")  # of the engine's own news


def test_standard_error_may_be_closed(file):
    code = f"import os; os.close(2); from deeplab import runtimes; print(runtimes.load({str(file)!r}).classes)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "('sky', 'road', 'tree')\n")


def test_threads_that_share_it_get_their_own_logits(file, make_image):
    network = runtimes.load(file).network
    images = [make_image(*SIZE, seed=seed)[np.newaxis] for seed in range(4)]
    wanted = [network.coarse_logits(image) for image in images]
    with ThreadPoolExecutor(len(images)) as threads:
        found = list(threads.map(network.coarse_logits, 25 * images))
    for number, logits in enumerate(found):
        np.testing.assert_array_equal(logits, wanted[number % len(images)])


def test_other_programs_find_the_label_map_inside(file, checkpoint, make_image):
    image = make_image(*SIZE)
    found = Interpreter(str(file)).get_signature_runner()(image=image[np.newaxis])
    assert found["labels"].dtype == np.uint8
    assert found["logits"].shape[-1] == len(checkpoint.classes)
    assert (found["labels"][0] == Segmenter(checkpoint, device="cpu").labels(image)).mean() > 0.999  # but for ties


LAYERS = {
    "the odd pixel after": PaddedConv(3, 4, 3, stride=2, padding="same", bias=True),
    "both sides padded": PaddedConv(3, 4, 3, stride=2),
    "atrous": PaddedConv(3, 4, 3, dilation=2),
    "seven wide": PaddedConv(3, 4, 7, stride=2),
    "depthwise": PaddedConv(3, 3, 3, stride=2, groups=3),
    "depthwise, atrous, two of each": PaddedConv(3, 6, 3, dilation=(1, 2), groups=3),
    "in two groups": nn.Sequential(PaddedConv(3, 4, 1), PaddedConv(4, 6, 3, groups=2)),
    "convolution and activation": nn.Sequential(PaddedConv(3, 4, 3), nn.ReLU6()),
    "largest, both sides padded": MaxPool(),
    "largest, the odd pixel after": MaxPool(padding="same"),
    "largest, rounded up": MaxPool(padding="caffe"),
    "mean of padded windows": nn.AvgPool2d(3, stride=1, padding=1),
    "bounded": Clip(),
    "hard sigmoid of DeepLab": HardSigmoid(),
    "hard sigmoid of PyTorch": nn.Hardsigmoid(),
    "hard swish": nn.Hardswish(),
    "sigmoid": nn.Sigmoid(),
    "corners on corners": lambda x: resize(x, (17, 5), align_corners=True),
    "edges on edges": lambda x: resize(x, (17, 5), align_corners=False),
    "mean over all": lambda x: resize(x.mean(dim=(2, 3), keepdim=True), (4, 5), align_corners=True),
    "largest of several": lambda x: torch.stack([x, x.relu(), -1.5 * x]).amax(dim=0),
    "sum of several": lambda x: torch.stack([x, x / 3]).sum(dim=0),
    "every second of both": lambda x: torch.cat([x, x - 1], dim=1)[..., 1::2, :-3],
    "a sum read twice": lambda x: (y := x + 0.5) - nn.functional.relu(y),
    "bounded by 0 and 1": lambda x: nn.functional.hardtanh(3 * x, 0, 1),
}


class Pixels(nn.Module):
    """Shape: uint8 (N, H, W, 3) -> what each layer makes of (N, 3, H, W), -1 .. 1"""

    def __init__(self, *layers):
        super().__init__()
        self.layers = layers
        self.parts = nn.ModuleList(layer for layer in layers if isinstance(layer, nn.Module))

    def forward(self, image):
        x = image.permute(0, 3, 1, 2).float() / 127.5 - 1
        return tuple(layer(x) for layer in self.layers)


@pytest.fixture(scope="module", params=[(8, 11), (9, 12)], ids=str)
def computed(request):
    """By LiteRT and by PyTorch, of each layer."""
    image = np.random.default_rng(0).integers(0, 256, (1, *request.param, 3), np.uint8)
    network = Pixels(*LAYERS.values()).eval()
    program = torch.export.export(network, (torch.from_numpy(image),))
    content = to_tflite(program, outputs=list(LAYERS), metadata={})
    found = Interpreter(model_content=content).get_signature_runner()(image=image)
    with torch.inference_mode():
        expected = network(torch.from_numpy(image))
    return found, dict(zip(LAYERS, (each.permute(0, 2, 3, 1).numpy() for each in expected), strict=True))


@pytest.mark.parametrize("name", LAYERS)
def test_an_operator_computes_what_pytorchs_does(computed, name):
    found, expected = computed
    np.testing.assert_allclose(found[name], expected[name], atol=1e-5)


def test_numbers_begin_where_the_schema_wants_them(file):
    from ai_edge_litert.schema_py_generated import Model

    content = file.read_bytes()
    model = Model.GetRootAs(content)
    for index in range(1, model.BuffersLength()):
        values = model.Buffers(index).DataAsNumpy()
        assert (values.ctypes.data - np.frombuffer(content, np.uint8).ctypes.data) % 16 == 0


@pytest.mark.parametrize(
    ("layer", "problem"),
    [(nn.GELU(), "gelu"), (MaxPool(stride=1, dilation=2), "pooling with gaps"), (nn.GroupNorm(1, 3), "group_norm")],
)
def test_what_it_has_no_operator_for_is_told(layer, problem):
    program = torch.export.export(Pixels(layer).eval(), (torch.zeros(1, 9, 9, 3, dtype=torch.uint8),))
    with pytest.raises(SettingsError, match=f"litert has no operator here for {problem}") as told:
        to_tflite(program, outputs=["logits"], metadata={})
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("layer", "problem"),
    [
        (nn.AvgPool2d(2, ceil_mode=True), "means over parts of windows"),  # as in timm's ResNet-D
        (nn.AvgPool2d(3, padding=1, count_include_pad=False), "means over parts of windows"),
        (lambda x: torch.add(x, x, alpha=2), "sums with a factor"),
        (lambda x: x.amax(dim=1, keepdim=True), "a reduction over other dimensions"),
        (lambda x: torch.stack([x, x], dim=1), "stacking along another dimension"),
        (lambda x: x.argmax(dim=1, keepdim=True), "an argmax over all dimensions"),
        (lambda x: x.permute(0, 1, 3, 2), "permuting dimensions"),
        (lambda x: x[:, :1].expand(-1, 3, -1, -1), "repeating other than over height and width"),
        (lambda x: nn.functional.interpolate(x, scale_factor=1.3, mode="bilinear"), "resizing by a factor"),
        (lambda x: nn.functional.pad(x, (1, 1, 1, 1), mode="reflect"), "padding of the kind reflect"),
    ],
)
def test_what_an_operator_cannot_do_is_told(layer, problem):
    program = torch.export.export(Pixels(layer).eval(), (torch.zeros(1, 9, 9, 3, dtype=torch.uint8),))
    with pytest.raises(SettingsError, match=f"litert has no operator here for {problem}"):
        to_tflite(program, outputs=["logits"], metadata={})


def test_any_size_is_refused(checkpoint, tmp_path):
    with pytest.raises(SettingsError, match="litert files take images of one size; name it with --fixed-size"):
        runtimes.save(tmp_path / "x.tflite", Graph(checkpoint), format="litert")


@pytest.mark.parametrize("kept", [0, 100, 5000, -1])
def test_a_truncated_file_is_told_in_one_line(file, tmp_path, kept):
    path = tmp_path / "short.tflite"
    path.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match="not a complete LiteRT file") as told:
        runtimes.load(path)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        (b"\x07\x00\x00\x00deeplab\x00", b"\x07\x00\x00\x00another\x00", "no description of ours"),
        (b'"format": 1', b'"format": 9', "newer deeplab"),
        (b'"road", ', b"        ", "does not hold together"),
    ],
)
def test_an_edited_file_is_told_in_one_line(file, tmp_path, before, after, problem):
    content = file.read_bytes()
    assert content.count(before) == 1
    path = tmp_path / "edited.tflite"
    path.write_bytes(content.replace(before, after))
    with pytest.raises(CheckpointError, match=problem) as told:
        runtimes.load(path)
    assert "\n" not in str(told.value)
