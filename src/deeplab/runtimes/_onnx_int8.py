"""8-bit numbers in ONNX graphs, of which OpenVINO files are made too."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deeplab._optional import require
from deeplab.runtimes._exported import threads
from deeplab.runtimes._int8 import SAMPLES, Int8, Range, closest_range, trained_steps

ACTIVATIONS = ("Clip", "Relu")
"""Operators that cut off what an 8-bit number with the range of their result cannot hold anyway."""

SAMPLE = """
<domain: "deeplab", opset_import: ["": 18]>
Sample (values, places) => (found)
{
    size = Size (values)
    length = Cast <to = 11> (size)
    place = Mul (places, length)
    index = Cast <to = 7> (place)
    all = Constant <value_ints = [-1]> ()
    row = Reshape (values, all)
    found = Gather (row, index)
}
"""
"""The values of a tensor at places of 0 .. 1 on the way through it; 11 is float64, 7 is int64."""


class _Measured(NamedTuple):
    """What the images tell of a graph."""

    ranges: dict[str, Range]
    added: dict[str, NDArray[np.float32]]
    """What rounded filters add to each channel, by convolution; of those that were asked for."""


def quantized(proto: Any, int8: Int8) -> Any:
    """An `onnx.ModelProto` with its convolutions in 8 bits: filters channel by channel, values tensor by tensor.

    An activation right behind one becomes a part of it: its result has the numbers, and not what it is computed from.

    Filters use 7 of the bits: without instructions for it (VNNI), sums of products of 8 bits do not fit into 16. Those
    that had 8 bits when they were trained keep them: rounded anew they would lose more than the few sums that overflow.

    Raises:
        MissingExtraError: onnxruntime or onnx are not installed.
    """
    onnx = require("onnx", extra="onnx")
    quantization = require("onnxruntime.quantization", extra="onnx")
    kept = {f"model.{layer}.weight" for layer in int8.kept}
    rest = [node for node in proto.graph.node if node.op_type == "Conv" and kept.isdisjoint(node.input)]
    if not rest:
        return proto
    own = {each.name: onnx.numpy_helper.to_array(each) for each in proto.graph.initializer}
    steps = {node.input[1]: trained_steps(own[node.input[1]]) for node in rest}
    results = {node.output[0] for node in rest}
    activations = [node for node in proto.graph.node if node.op_type in ACTIVATIONS and node.input[0] in results]
    measured = int8.once(proto, lambda: _Measured(_ranges(proto, int8.images), {}))
    read = {node.input[0] for node in rest} | results | {node.output[0] for node in activations}
    with tempfile.TemporaryDirectory() as folder, _without_advice():
        plain, path = (str(Path(folder) / name) for name in ("float.onnx", "int8.onnx"))
        onnx.save(proto, plain)  # given as it is, it would be changed
        quantization.quantize_static(
            plain,
            path,
            _reader(quantization, int8.images[:1]),  # it has to see one; the ranges are told
            nodes_to_quantize=[node.name for node in (*rest, *activations)],
            op_types_to_quantize=["Conv", *ACTIVATIONS],
            per_channel=True,
            reduce_range=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            extra_options={
                "TensorQuantOverrides": {
                    **{name: _overrides(quantization, of) for name, of in steps.items() if of is not None},
                    **{name: _range(*measured.ranges[name]) for name in sorted(read)},
                }
            },
        )
        found = onnx.load(path)
    _correct_biases(found, proto, int8.images, measured.added)
    return found


def _ranges(proto: Any, images: Sequence[NDArray[np.uint8]]) -> dict[str, Range]:
    """Of what convolutions and the activations behind them read and give, by name."""
    onnx = require("onnx", extra="onnx")
    results = {node.output[0] for node in proto.graph.node if node.op_type == "Conv"}
    names = set(results)
    for node in proto.graph.node:
        if node.op_type == "Conv" or (node.op_type in ACTIVATIONS and node.input[0] in results):
            names.update((node.input[0], node.output[0]))
    probe = _without_outputs(proto)
    probe.functions.append(onnx.parser.parse_function(SAMPLE))
    probe.opset_import.append(onnx.helper.make_opsetid("deeplab", 1))
    probe.graph.input.append(onnx.helper.make_tensor_value_info("places", onnx.TensorProto.DOUBLE, [SAMPLES]))
    for name in sorted(names):
        found = f"{name}_sample"
        probe.graph.node.append(onnx.helper.make_node("Sample", [name, "places"], [found], domain="deeplab"))
        probe.graph.output.append(onnx.helper.make_empty_tensor_value_info(found))
    generator = np.random.default_rng(0)
    seen = _run(probe, ({"image": image, "places": generator.random(SAMPLES)} for image in images))
    return {name: closest_range(np.concatenate(each)) for name, *each in zip(sorted(names), *seen, strict=True)}


def _correct_biases(
    found: Any, proto: Any, images: Sequence[NDArray[np.uint8]], known: dict[str, NDArray[np.float32]]
) -> None:
    """Take from the biases of `found` what its rounded filters add to a channel, in the mean over all pixels of images.

    Behind an activation values are seldom of mean zero, so that what rounding does to a filter moves all of a channel
    the same way (Nagel et al., Data-Free Quantization through Weight Equalization and Bias Correction, 2019, section
    4.2). It is measured layer by layer on the values of `proto`, in float32, and is `known` then.
    """
    numpy_helper = require("onnx", extra="onnx").numpy_helper
    exact = {each.name: numpy_helper.to_array(each) for each in proto.graph.initializer}
    stored = {each.name: each for each in found.graph.initializer}
    made_of = {node.output[0]: node.input for node in found.graph.node if node.op_type == "DequantizeLinear"}
    filters = {node.name: node.input[1] for node in proto.graph.node if node.op_type == "Conv"}
    errors, biases = {}, {}
    for node in found.graph.node:
        if node.op_type == "Conv" and len(node.input) == 3 and node.input[1] in made_of:
            numbers, steps = (numpy_helper.to_array(stored[name]) for name in made_of[node.input[1]][:2])
            errors[node.name] = numbers * steps.reshape(-1, *[1] * (numbers.ndim - 1)) - exact[filters[node.name]]
            biases[node.name] = made_of[node.input[2]]  # its own, also where layers share one
    if errors.keys() - known:
        known.update(_means(proto, errors, images))
    for layer, (name, steps, *_) in biases.items():
        numbers = numpy_helper.to_array(stored[name])
        less = np.rint(known[layer] / numpy_helper.to_array(stored[steps])).astype(numbers.dtype)
        stored[name].CopyFrom(numpy_helper.from_array(numbers - less, name))


def _means(
    proto: Any, filters: Mapping[str, NDArray[np.float32]], images: Sequence[NDArray[np.uint8]]
) -> dict[str, NDArray[np.float32]]:
    """What convolutions would give with these `filters` and no bias, by name: the mean of each channel over images."""
    onnx = require("onnx", extra="onnx")
    probe = _without_outputs(proto)
    for node in proto.graph.node:
        if node.name not in filters:
            continue
        other, between, mean = (f"{node.name}_{of}" for of in ("filters", "between", "mean"))
        convolution, pooling = onnx.NodeProto(), onnx.helper.make_node("GlobalAveragePool", [""], [""])
        convolution.CopyFrom(node)
        convolution.name, convolution.input[1:] = "", [other]
        first, second = (convolution, pooling) if _looks_around(node, filters[node.name]) else (pooling, convolution)
        first.input[0], first.output[0], second.input[0], second.output[0] = node.input[0], between, between, mean
        probe.graph.initializer.append(onnx.numpy_helper.from_array(filters[node.name], other))
        probe.graph.node.extend((first, second))
        probe.graph.output.append(onnx.helper.make_empty_tensor_value_info(mean))
    names = [output.name.removesuffix("_mean") for output in probe.graph.output]
    seen = _run(probe, ({"image": image} for image in images))
    return {name: np.mean(each, axis=(0, 1, 3, 4)) for name, *each in zip(names, *seen, strict=True)}


def _without_outputs(proto: Any) -> Any:
    """A copy that is to give something else."""
    probe = type(proto)()
    probe.CopyFrom(proto)
    del probe.graph.output[:]
    return probe


def _run(probe: Any, inputs: Iterable[Mapping[str, NDArray[Any]]]) -> Iterator[list[NDArray[np.float32]]]:
    """The outputs for each of the inputs."""
    runtime = require("onnxruntime", extra="onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads()
    session = runtime.InferenceSession(probe.SerializeToString(), options)
    for each in inputs:
        yield session.run(None, each)


def _looks_around(convolution: Any, filters: NDArray[np.float32]) -> bool:
    """Whether it sees other pixels than its own, or leaves some out; if not, the mean over pixels may come first."""
    strides = [each.ints for each in convolution.attribute if each.name == "strides"]
    return filters.shape[2:] != (1, 1) or any(set(each) != {1} for each in strides)


def _overrides(quantization: Any, steps: NDArray[np.float32]) -> list[dict[str, Any]]:
    """What onnxruntime wants to be told of filters whose steps are known, channel by channel."""
    numbers = {"quant_type": quantization.QuantType.QInt8, "zero_point": np.zeros((), np.int8)}
    return [{**numbers, "scale": step, **({} if channel else {"axis": 0})} for channel, step in enumerate(steps)]


def _range(low: float, high: float) -> list[dict[str, Any]]:
    """What onnxruntime wants to be told of a tensor whose range is known."""
    return [{"rmin": np.float32(low), "rmax": np.float32(high)}]


def _reader(quantization: Any, images: Sequence[NDArray[np.uint8]]) -> Any:
    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        rest = iter(images)

        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            image = next(self.rest, None)
            return None if image is None else {"image": image}

    return Reader()


@contextmanager
def _without_advice() -> Iterator[None]:
    """onnxruntime recommends a tool of its own, which the graph does not need."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
