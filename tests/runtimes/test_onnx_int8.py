"""8-bit numbers in ONNX files: which layers have them, which would lose the most, and what they lose."""

from __future__ import annotations

import logging
from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="needs the extra onnx")
pytest.importorskip("onnxscript", reason="needs the extra onnx")

import onnx
import onnxruntime
import torch
from onnx import helper, numpy_helper

from deeplab import runtimes
from deeplab.inference import Segmenter
from deeplab.runtimes import _onnx_int8
from deeplab.runtimes._onnx_int8 import quantized
from deeplab.runtimes.graph import Graph

SIZE = (24, 32)


@pytest.fixture(scope="module")
def graph(checkpoint_of):
    checkpoint = checkpoint_of("deeplabv3", atrous_rates=())
    checkpoint.model.classify.weight.data *= 100  # far apart, as of a trained model
    for module in checkpoint.model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.bias, std=0.1, generator=torch.Generator().manual_seed(0))
    return Graph(checkpoint, fixed_size=SIZE)


@pytest.fixture(scope="module")
def images(make_image):
    return [make_image(*SIZE, seed)[np.newaxis] for seed in range(8)]


def layers_in_8_bits(path):
    graph = onnx.load(path).graph
    made = {output: node for node in graph.node for output in node.output}
    inputs = [made.get(node.input[1]) for node in graph.node if node.op_type == "Conv"]
    return [node is not None and node.op_type == "DequantizeLinear" for node in inputs]


def test_all_convolutions_have_8_bits_but_those_that_are_kept(graph, images, tmp_path):
    for kept in ((), ("classify", "aspp.project.conv")):
        runtimes.save(tmp_path / "x.onnx", graph, format="onnx", int8=runtimes.Int8(images, kept=kept))
        assert layers_in_8_bits(tmp_path / "x.onnx").count(False) == len(kept)


def test_where_all_layers_are_kept_nothing_has_8_bits(graph, images):
    nodes = graph.onnx.graph.node
    kept = tuple(
        node.input[1].removeprefix("model.").removesuffix(".weight") for node in nodes if node.op_type == "Conv"
    )
    found = quantized(graph.onnx, runtimes.Int8(images, kept=kept))
    assert [node.op_type for node in found.graph.node] == [node.op_type for node in nodes]


def test_afterwards_as_much_is_logged_as_before(graph, images):
    quantized(graph.onnx, runtimes.Int8(images))
    assert logging.root.manager.disable == logging.NOTSET


def test_no_activation_is_left_between_a_convolution_and_the_numbers_of_its_result(graph, images, tmp_path):
    runtimes.save(tmp_path / "x.onnx", graph, format="onnx", int8=runtimes.Int8(images))
    nodes = onnx.load(tmp_path / "x.onnx").graph.node
    made = {output: node.op_type for node in nodes for output in node.output}
    assert sum(made.get(node.input[0]) == "Conv" for node in nodes if node.op_type == "QuantizeLinear") > 10
    between = [node for node in nodes if node.op_type in ("Relu", "Clip")]
    assert all(made[node.input[0]] != "DequantizeLinear" for node in between)


def test_the_file_is_a_quarter_and_its_labels_are_nearly_those_of_the_model(graph, images, tmp_path):
    for name, int8 in (("plain", None), ("small", runtimes.Int8(images))):
        runtimes.save(tmp_path / f"{name}.onnx", graph, format="onnx", int8=int8)
    plain, small = (tmp_path / f"{name}.onnx" for name in ("plain", "small"))
    assert small.stat().st_size < 0.3 * plain.stat().st_size
    image = images[0][0]
    first, second = (Segmenter(runtimes.load(path)).labels(image) for path in (plain, small))
    assert (first == second).mean() > 0.9


def test_layers_are_kept_that_lose_the_most_for_their_work(graph, images):
    before = [tensor.clone() for tensor in graph.checkpoint.model.state_dict().values()]
    layers = graph.sensitive_layers(images[:1])
    names = [layer.name for layer in layers]
    assert len(names) == len(set(names)) == sum(isinstance(m, torch.nn.Conv2d) for m in graph.network().modules())
    for tensor, kept in zip(graph.checkpoint.model.state_dict().values(), before, strict=True):
        assert torch.equal(tensor, kept)
    ratios = [layer.loss / layer.multiply_adds for layer in layers]
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[0] > ratios[-1]

    plans = [plan.kept for plan in runtimes.less_and_less_int8(graph, images)]
    assert plans[0] == ()
    assert len(plans) > 2
    work = sum(layer.multiply_adds for layer in layers)
    for fewer, more in pairwise(plans):
        assert len(fewer) < len(more)
        assert more == tuple(names[: len(more)])
        assert sum(layer.multiply_adds for layer in layers[: len(more)]) <= work * 7 / 8


def test_a_layer_with_an_outlier_is_sensitive(graph, images):
    filters = graph.checkpoint.model.aspp.project.conv.weight
    filters.data[:, 8] *= 1e4  # behind the image pooling, which is a bias; the others fall below a step
    try:
        assert "aspp.project.conv" in [layer.name for layer in graph.sensitive_layers(images[:1])][:2]
    finally:
        filters.data[:, 8] /= 1e4


def test_no_channel_is_moved_by_the_rounding_of_its_filters(images):
    node, tensor = helper.make_node, helper.make_tensor_value_info
    nodes = [
        node("Cast", ["image"], ["colors"], to=onnx.TensorProto.FLOAT),
        node("Transpose", ["colors"], ["values"], perm=(0, 3, 1, 2)),
        node("Conv", ["values", "filters", "bias"], ["around"], name="around", pads=(2, 2, 2, 2), strides=(2, 2)),
        node("Conv", ["around", "pointwise", "bias"], ["logits"], name="pointwise"),
    ]
    generator = np.random.default_rng(0)
    weights = {"filters": generator.normal(size=(16, 3, 5, 5)), "pointwise": generator.normal(size=(16, 16, 1, 1))}
    weights["bias"] = np.zeros(16)
    graph = helper.make_graph(
        nodes,
        "two layers",
        [tensor("image", onnx.TensorProto.UINT8, (1, *SIZE, 3))],
        [tensor("logits", onnx.TensorProto.FLOAT, (1, 16, 12, 16))],
        [numpy_helper.from_array(values.astype(np.float32), name) for name, values in weights.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)

    def logits(proto):
        session = onnxruntime.InferenceSession(proto.SerializeToString())
        return np.concatenate([session.run(None, {"image": image})[0] for image in images])

    exact, found = logits(proto), logits(quantized(proto, runtimes.Int8(images)))
    moved = np.abs((found - exact).mean(axis=(0, 2, 3)))
    assert moved.max() < 0.1 * np.abs(found - exact).mean()


def test_filters_that_were_trained_in_8_bits_are_kept_exactly(checkpoint_of, in_8_bits, images, tmp_path):
    graph = Graph(in_8_bits(checkpoint_of("deeplabv3", atrous_rates=())), fixed_size=SIZE)
    runtimes.save(tmp_path / "x.onnx", graph, format="onnx", int8=runtimes.Int8(images))
    plain, small = graph.onnx.graph, onnx.load(tmp_path / "x.onnx").graph
    before, after = ({each.name: numpy_helper.to_array(each) for each in proto.initializer} for proto in (plain, small))
    weights = [node.input[1] for node in plain.node if node.op_type == "Conv"]
    for name in weights:
        filters = after[f"{name}_quantized"] * after[f"{name}_scale"][:, None, None, None]
        np.testing.assert_allclose(filters, before[name], rtol=0, atol=1e-5 * np.abs(before[name]).max())


def test_other_layers_in_float32_need_no_other_look_at_the_images(graph, images, monkeypatch):
    looked = []
    run = _onnx_int8._run

    def counted(probe, inputs):
        looked.append(probe)
        return run(probe, inputs)

    monkeypatch.setattr(_onnx_int8, "_run", counted)
    first, second = list(runtimes.less_and_less_int8(graph, images))[:2]
    files = [quantized(graph.onnx, int8) for int8 in (first, second)]
    assert len(looked) == 2  # for the ranges and for the biases
    alone = quantized(graph.onnx, runtimes.Int8(images, kept=second.kept))
    assert files[1].SerializeToString() == alone.SerializeToString() != files[0].SerializeToString()


def test_an_outlier_costs_the_other_values_nothing(make_image):
    node, tensor = helper.make_node, helper.make_tensor_value_info
    nodes = [
        node("Cast", ["image"], ["colors"], to=onnx.TensorProto.FLOAT),
        node("Transpose", ["colors"], ["values"], perm=(0, 3, 1, 2)),
        node("Conv", ["values", "filters"], ["logits"], name="conv"),
    ]
    graph = helper.make_graph(
        nodes,
        "one layer",
        [tensor("image", onnx.TensorProto.UINT8, (1, 512, 512, 3))],
        [tensor("logits", onnx.TensorProto.FLOAT, (1, 3, 512, 512))],
        [numpy_helper.from_array(np.eye(3, dtype=np.float32)[:, :, None, None], "filters")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    images = [make_image(512, 512, seed)[np.newaxis] // 16 for seed in range(8)]
    images[0][0, 0, 0] = 255

    def logits(proto):
        session = onnxruntime.InferenceSession(proto.SerializeToString())
        return session.run(None, {"image": images[1]})[0]

    lost = np.abs(logits(quantized(proto, runtimes.Int8(images))) - logits(proto))
    assert lost.max() < 0.1  # 0.5 with steps as wide as the outlier would have them
