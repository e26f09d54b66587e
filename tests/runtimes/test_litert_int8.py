"""LiteRT files of 8-bit numbers: which operators have them, what they are, and how near to PyTorch's they come."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("ai_edge_litert", reason="needs the extra litert")

from ai_edge_litert.interpreter import Interpreter, OpResolverType
from ai_edge_litert.schema_py_generated import BuiltinOperator, ModelT, TensorType

from deeplab import runtimes
from deeplab.inference import Segmenter
from deeplab.layers import MaxPool, PaddedConv, resize
from deeplab.layers.conv import HardSigmoid
from deeplab.runtimes._tflite import to_tflite
from deeplab.runtimes.graph import Graph

SIZE = (24, 32)

KINDS = {number: name for name, number in vars(BuiltinOperator).items() if isinstance(number, int)}

CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")


class Operators:
    """What lies in a file: `of(kinds)` gives (its inputs, its output) of each operator of these kinds, in order."""

    def __init__(self, content):
        model = ModelT.InitFromPackedBuf(content)
        self.graph, self.buffers = model.subgraphs[0], model.buffers
        self.kinds = [KINDS[model.operatorCodes[each.opcodeIndex].builtinCode] for each in self.graph.operators]

    def of(self, *kinds):
        chosen = (each for each, kind in zip(self.graph.operators, self.kinds, strict=True) if kind in kinds)
        tensors = self.graph.tensors
        return [([tensors[i] for i in each.inputs], tensors[each.outputs[0]]) for each in chosen]

    def values(self, tensor, dtype):
        return self.buffers[tensor.buffer].data.view(dtype).reshape(tensor.shape)


@pytest.fixture(scope="module")
def graph(checkpoint_of):
    checkpoint = checkpoint_of("deeplabv3", atrous_rates=())
    checkpoint.model.classify.weight.data *= 100  # far apart, as of a trained model
    return Graph(checkpoint, fixed_size=SIZE, labels=True)


@pytest.fixture(scope="module")
def images(make_image):
    return [make_image(*SIZE, seed)[np.newaxis] for seed in range(8)]


@pytest.fixture(scope="module")
def file_of_graph(graph, images, tmp_path_factory):
    """`file_of_graph(*kept)`: in 8 bits but for these layers; None for float32."""

    @cache
    def write(*kept):
        path = tmp_path_factory.mktemp("exported") / "tiny.tflite"
        int8 = None if kept == (None,) else runtimes.Int8(images, kept=kept)
        runtimes.save(path, graph, format="litert", int8=int8)
        return path

    return write


@pytest.fixture(scope="module")
def file(file_of_graph):
    return file_of_graph()


@pytest.mark.parametrize("kept", [(), ("classify", "aspp.project.conv")], ids=["all", "but two"])
def test_convolutions_have_8_bits_but_those_that_are_kept(file_of_graph, graph, kept):
    names = {name.removeprefix("model.") for name, each in graph.network().named_modules() if type(each) is PaddedConv}
    convolutions = Operators(file_of_graph(*kept).read_bytes()).of(*CONVOLUTIONS)
    found = {}
    for inputs, output in convolutions:
        types = {inputs[0].type, inputs[1].type, output.type}
        assert len(types) == 1
        found[inputs[1].name.decode().removeprefix("model.").removesuffix(".weight")] = types.pop()
    assert set(found) >= names
    assert {name for name, dtype in found.items() if dtype == TensorType.FLOAT32} == set(kept)


def test_filters_have_a_scale_for_each_channel_and_biases_that_of_the_sums(file):
    operators = Operators(file.read_bytes())
    for (values, filters, bias), output in operators.of(*CONVOLUTIONS):
        assert (filters.type, bias.type) == (TensorType.INT8, TensorType.INT32)
        scales = np.array(filters.quantization.scale)
        assert scales.size == output.shape[-1] == filters.shape[filters.quantization.quantizedDimension]
        np.testing.assert_allclose(bias.quantization.scale, values.quantization.scale[0] * scales, rtol=1e-6)
        assert not np.any([*filters.quantization.zeroPoint, *bias.quantization.zeroPoint])
        assert np.abs(operators.values(filters, np.int8).astype(int)).max() == 127
        (zero_point,) = values.quantization.zeroPoint
        assert -128 <= zero_point <= 127


def test_filters_that_were_trained_in_8_bits_are_kept_exactly(checkpoint_of, in_8_bits, images, tmp_path):
    graph = Graph(in_8_bits(checkpoint_of("deeplabv3", atrous_rates=())), fixed_size=SIZE)
    runtimes.save(tmp_path / "x.tflite", graph, format="litert", int8=runtimes.Int8(images))
    operators = Operators((tmp_path / "x.tflite").read_bytes())
    modules = dict(graph.network().named_modules())
    for (_, filters, _), _ in operators.of("CONV_2D"):
        before = modules[filters.name.decode().removesuffix(".weight")].weight.detach().permute(0, 2, 3, 1).numpy()
        after = operators.values(filters, np.int8) * np.array(filters.quantization.scale)[:, None, None, None]
        np.testing.assert_allclose(after, before, rtol=0, atol=1e-5 * np.abs(before).max())


def test_the_file_is_smaller_and_its_labels_are_nearly_those_of_the_model(file, file_of_graph, graph, images):
    plain = file_of_graph(None)
    assert file.stat().st_size < 0.3 * plain.stat().st_size
    first, second = (Segmenter(runtimes.load(path)) for path in (plain, file))
    assert second.classes == first.classes == graph.checkpoint.classes
    labels = [(first.labels(image[0]), second.labels(image[0])) for image in images]
    assert np.mean([a == b for a, b in labels]) > 0.9


def test_logits_and_the_label_map_are_made_of_float32(file, images):
    operators = Operators(file.read_bytes())
    ((resized, _), _) = operators.of("RESIZE_BILINEAR")[-1]
    assert (resized.name, resized.type) == (b"logits", TensorType.FLOAT32)
    found = Interpreter(str(file)).get_signature_runner()(image=images[0])
    assert (found["logits"].dtype, found["labels"].dtype) == (np.float32, np.uint8)


class Between(nn.Module):
    """Each layer between two convolutions, without which none of it would be in 8 bits."""

    def __init__(self, *layers):
        super().__init__()
        torch.manual_seed(0)
        self.layers = layers
        self.parts = nn.ModuleList(layer for layer in layers if isinstance(layer, nn.Module))
        self.before = nn.ModuleList(PaddedConv(3, 4, 1) for _ in layers)
        self.after = nn.ModuleList(PaddedConv(4, 3, 1, bias=True) for _ in layers)

    def forward(self, image):
        x = image.permute(0, 3, 1, 2).float() / 127.5 - 1
        parts = zip(self.before, self.layers, self.after, strict=True)
        return tuple(after(layer(before(x))) for before, layer, after in parts)


def in_8_bits(network, images, outputs):
    program = torch.export.export(network.eval(), (torch.from_numpy(images[0]),))
    return to_tflite(program, outputs=outputs, metadata={}, int8=runtimes.Int8(images))


class SqueezeExcite(nn.Module):
    """As in MobileNetV3."""

    def __init__(self):
        super().__init__()
        self.conv, self.gate = PaddedConv(4, 4, 1), HardSigmoid()

    def forward(self, x):
        return x * self.gate(self.conv(x.mean(dim=(2, 3), keepdim=True)))


LAYERS = {
    "atrous": (PaddedConv(4, 4, 3, dilation=2), "CONV_2D"),
    "both sides padded": (PaddedConv(4, 4, 3, stride=2, bias=True), "PAD"),
    "the odd pixel after": (PaddedConv(4, 4, 3, stride=2, padding="same"), "CONV_2D"),
    "depthwise, atrous": (PaddedConv(4, 4, 3, dilation=(1, 2), groups=4), "DEPTHWISE_CONV_2D"),
    "in two groups": (PaddedConv(4, 4, 3, groups=2), "CONV_2D"),
    "convolution and ReLU6": (nn.Sequential(PaddedConv(4, 4, 3), nn.ReLU6()), "CONV_2D"),
    "a sum": (lambda x: x + resize(x[..., :5, :5], x.shape[-2:], align_corners=True), "ADD"),
    "a sum with a number": (lambda x: nn.functional.relu(x + 0.5), "ADD"),
    "a difference": (lambda x: x[..., 1:, :] - x[..., :-1, :], "SUB"),
    "read twice": (lambda x: x + nn.functional.relu(x), "RELU"),
    "beside each other": (lambda x: torch.cat([x[:, :2], 3 * x[:, 2:].relu()], dim=1), "CONCATENATION"),
    "mean over all": (lambda x: x + resize(x.mean(dim=(2, 3), keepdim=True), (9, 12), align_corners=True), "MEAN"),
    "mean of windows": (nn.AvgPool2d(3, stride=1, padding=1), "AVERAGE_POOL_2D"),
    "largest, both sides padded": (MaxPool(), "PADV2"),
    "largest": (MaxPool(padding="same"), "MAX_POOL_2D"),
    "corners on corners": (lambda x: resize(x, (17, 25), align_corners=True), "RESIZE_BILINEAR"),
    "edges on edges": (lambda x: resize(x, (16, 22), align_corners=False), "RESIZE_BILINEAR"),
    "hard swish": (nn.Hardswish(), "HARD_SWISH"),
    "sigmoid": (nn.Sigmoid(), "LOGISTIC"),
    "squeeze and excite": (SqueezeExcite(), "MUL"),
    "hard sigmoid of PyTorch, half in float32": (nn.Hardsigmoid(), "QUANTIZE"),
}


@pytest.fixture(scope="module")
def noise():
    return [np.random.default_rng(seed).integers(0, 256, (1, 9, 12, 3), np.uint8) for seed in range(8)]


@pytest.fixture(scope="module")
def content(noise):
    return in_8_bits(Between(*(layer for layer, _ in LAYERS.values())), noise, list(LAYERS))


@pytest.fixture(scope="module", params=[OpResolverType.AUTO, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES])
def computed(content, noise, request):
    """By either of LiteRT's kernels and by PyTorch, of each layer."""
    engine = Interpreter(model_content=content, experimental_op_resolver_type=request.param)
    found = engine.get_signature_runner()(image=noise[0])
    with torch.inference_mode():
        expected = Between(*(layer for layer, _ in LAYERS.values())).eval()(torch.from_numpy(noise[0]))
    return found, dict(zip(LAYERS, (each.permute(0, 2, 3, 1).numpy() for each in expected), strict=True))


@pytest.mark.parametrize("name", LAYERS)
def test_an_operator_in_8_bits_is_near_pytorchs(computed, name):
    found, expected = (each[name] for each in computed)
    np.testing.assert_allclose(found, expected, rtol=0, atol=3 / 255 * np.ptp(expected))  # of 8 bits one after another


def test_what_lies_between_convolutions_is_in_8_bits(content):
    operators = Operators(content)
    for kind in sorted({kind for _, kind in LAYERS.values()}):
        assert TensorType.INT8 in [output.type for _, output in operators.of(kind)], kind
    assert len(operators.of("DEQUANTIZE")) == len(LAYERS) + 1  # of the outputs, and within the last


def test_a_bias_beside_small_filters_is_not_cut(noise):
    network = Between(nn.Identity())
    (last,) = network.after
    last.weight.data *= torch.tensor([1e-9, 1, 0])[:, None, None, None]
    last.bias.data = torch.tensor([1000.0, -1, 0])
    found = Interpreter(model_content=in_8_bits(network, noise, ["y"])).get_signature_runner()(image=noise[0])["y"]
    np.testing.assert_allclose(found[..., 0], 1000, atol=1000 / 255)
    np.testing.assert_allclose(found[..., 2], 0, atol=1000 / 255)


def test_depthwise_filters_that_were_trained_in_8_bits_are_kept_exactly(noise):
    """Whole steps of one size in all channels; only the first has some that are too far from zero."""
    network = Between(PaddedConv(4, 4, 3, groups=4))
    numbers = torch.from_numpy(np.random.default_rng(0).integers(-55, 128, (4, 1, 3, 3)))
    numbers[0, 0, 0, 0], numbers[1, 0, 0, :2] = 200, torch.tensor([3, 4])
    network.parts[0].weight.data = 0.01 * numbers.float()
    operators = Operators(in_8_bits(network, noise, ["y"]))
    (((_, filters, _), _),) = operators.of("DEPTHWISE_CONV_2D")
    np.testing.assert_allclose(filters.quantization.scale, [0.01 * 200 / 127, 0.01, 0.01, 0.01], rtol=1e-5)
    np.testing.assert_array_equal(operators.values(filters, np.int8)[0, ..., 1:], numbers[1:, 0].permute(1, 2, 0))


def test_ranges_are_those_of_all_images(noise):
    bright = noise[:1] + [image // 8 for image in noise[1:]]
    network = Between(nn.Identity())
    found = Interpreter(model_content=in_8_bits(network, bright, ["y"])).get_signature_runner()(image=bright[0])["y"]
    with torch.inference_mode():
        expected = network(torch.from_numpy(bright[0]))[0].permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=3 / 255 * np.ptp(expected))


def test_a_layer_that_gives_nothing_but_zeros_does_so_in_8_bits(noise):
    network = Between(nn.Identity())
    network.after[0].weight.data.zero_()
    network.after[0].bias.data.zero_()
    found = Interpreter(model_content=in_8_bits(network, noise, ["y"])).get_signature_runner()(image=noise[0])["y"]
    assert not found.any()
