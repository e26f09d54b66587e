"""8-bit numbers in the place of float32, by the ranges seen on images: what they are made from, and in ONNX graphs."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeplab._optional import require
from deeplab.errors import SettingsError
from deeplab.runtimes._exported import threads

FEWEST = 8
"""Images that ranges are taken from: one image's are not those of others."""

SAME, WHOLE = 1e-5, 0.01
"""How far two values of filters may be apart, over the largest one, and how far they may be from a multiple of a step,
over the step, having been rounded when they were folded."""

ACTIVATIONS = ("Clip", "Relu")
"""Operators that cut off what an 8-bit number with the range of their result cannot hold anyway."""


@dataclass(frozen=True, eq=False)
class Int8:
    """How a network becomes one of 8-bit numbers."""

    images: Sequence[NDArray[np.uint8]]
    """(1, H, W, 3) RGB each, as the network sees them; the ranges of all its values are taken from them."""
    kept: tuple[str, ...] = ()
    """Layers that stay in float32, by their names in the model."""

    def __post_init__(self) -> None:
        if len(self.images) < FEWEST:
            raise SettingsError(
                f"calibration has {len(self.images)} image{'s' * (len(self.images) != 1)}; int8 wants at least "
                f"{FEWEST} that look like those to be segmented"
            )


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
    with tempfile.TemporaryDirectory() as folder, _without_advice():
        plain, path = (str(Path(folder) / name) for name in ("float.onnx", "int8.onnx"))
        onnx.save(proto, plain)  # given as it is, it would be changed
        quantization.quantize_static(
            plain,
            path,
            _reader(quantization, int8.images),
            nodes_to_quantize=[node.name for node in (*rest, *activations)],
            op_types_to_quantize=["Conv", *ACTIVATIONS],
            per_channel=True,
            reduce_range=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            extra_options={
                "TensorQuantOverrides": {
                    name: _overrides(quantization, of) for name, of in steps.items() if of is not None
                }
            },
        )
        found = onnx.load(path)
    _correct_biases(found, proto, int8.images)
    return found


def _correct_biases(found: Any, proto: Any, images: Sequence[NDArray[np.uint8]]) -> None:
    """Take from the biases of `found` what its rounded filters add to a channel, in the mean over all pixels of images.

    Behind an activation values are seldom of mean zero, so that what rounding does to a filter moves all of a channel
    the same way (Nagel et al., Data-Free Quantization through Weight Equalization and Bias Correction, 2019, section
    4.2). It is measured layer by layer on the values of `proto`, in float32.
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
    for layer, added in (_means(proto, errors, images) if errors else {}).items():
        name, steps, *_ = biases[layer]
        numbers = numpy_helper.to_array(stored[name])
        less = np.rint(added / numpy_helper.to_array(stored[steps])).astype(numbers.dtype)
        stored[name].CopyFrom(numpy_helper.from_array(numbers - less, name))


def _means(
    proto: Any, filters: Mapping[str, NDArray[np.float32]], images: Sequence[NDArray[np.uint8]]
) -> dict[str, NDArray[np.float32]]:
    """What convolutions would give with these `filters` and no bias, by name: the mean of each channel over images."""
    onnx = require("onnx", extra="onnx")
    runtime = require("onnxruntime", extra="onnx")
    probe = onnx.ModelProto()
    probe.CopyFrom(proto)
    del probe.graph.output[:]
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
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads()
    session = runtime.InferenceSession(probe.SerializeToString(), options)
    names = [output.name.removesuffix("_mean") for output in session.get_outputs()]
    found = zip(*(session.run(None, {"image": image}) for image in images), strict=True)
    return {name: np.mean(each, axis=(0, 1, 3, 4)) for name, each in zip(names, found, strict=True)}


def _looks_around(convolution: Any, filters: NDArray[np.float32]) -> bool:
    """Whether it sees other pixels than its own, or leaves some out; if not, the mean over pixels may come first."""
    strides = [each.ints for each in convolution.attribute if each.name == "strides"]
    return filters.shape[2:] != (1, 1) or any(set(each) != {1} for each in strides)


def trained_steps(filters: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """The steps between the values of filters, (out_channels, ...), that had 8 bits when they were trained.

    Such filters have at most 256 values, all of them multiples of one step: numbers of 0 .. 255 with a zero point. Only
    a channel that is more than 127 of these steps away from zero gets a wider one.

    Returns:
        Of each channel, for whole numbers of -127 .. 127; None: they had more bits.
    """
    peak = np.abs(filters).max(initial=0)
    gaps = np.diff(np.unique(filters)) / peak if peak else np.zeros(0)
    gaps = gaps[gaps > SAME]
    if not 1 <= len(gaps) < 256:
        return None
    step = peak / np.rint(1 / gaps.min())
    numbers = filters / step
    if np.abs(numbers - np.rint(numbers)).max() > WHOLE:
        return None
    most = np.abs(numbers).reshape(len(filters), -1).max(axis=1)
    steps: NDArray[np.float32] = (step * np.maximum(most / 127, 1)).astype(np.float32)
    return steps


def _overrides(quantization: Any, steps: NDArray[np.float32]) -> list[dict[str, Any]]:
    """What onnxruntime wants to be told of filters whose steps are known, channel by channel."""
    numbers = {"quant_type": quantization.QuantType.QInt8, "zero_point": np.zeros((), np.int8)}
    return [{**numbers, "scale": step, **({} if channel else {"axis": 0})} for channel, step in enumerate(steps)]


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
