"""8-bit numbers in a TensorFlow Lite file, as its 8-bit quantisation specification has them.

https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_spec: filters are whole numbers of
-127 .. 127 with a scale for each output channel; all other values are of -128 .. 127 with a scale and a zero point for
each tensor, from the ranges seen on images; sums and biases have 32 bits.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node

from deeplab.runtimes._int8 import Range, closest_range, sample, trained_steps
from deeplab.runtimes._tflite_file import File, Operator, Quantization

__all__ = ["in_8_bits", "seen_ranges"]

CHANNELS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3}
"""The convolutions, and which dimension of the filters is that of the output channels."""

AS_READ = ("AVERAGE_POOL_2D", "MAX_POOL_2D", "PAD", "PADV2", "RESIZE_BILINEAR", "STRIDED_SLICE")
"""Kinds whose result has to have the scale and the zero point of what they read."""

FIXED = {"LOGISTIC": Quantization((1 / 256,), -128)}
"""What the result has to have."""

VERSIONS = {
    "ADD": 2,
    "AVERAGE_POOL_2D": 2,
    "CONCATENATION": 2,
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 3,
    "HARD_SWISH": 1,
    "LOGISTIC": 2,
    "MAX_POOL_2D": 2,
    "MEAN": 2,
    "MUL": 2,
    "PAD": 2,
    "PADV2": 2,
    "RELU": 2,
    "RELU6": 2,
    "RESIZE_BILINEAR": 2,
    "STRIDED_SLICE": 2,
    "SUB": 2,
}
"""The kinds that there are in 8 bits, and the first version that has it."""

LARGEST_BIAS = 2**30
"""Half of what a sum of 32 bits holds."""

LEAST_SCALE = 1e-12
"""Of filters: those of a channel that is all zeros need one too."""


def in_8_bits(file: File, ranges: Mapping[int, Range], *, kept: Collection[str]) -> File:
    """The same graph with its convolutions, and what lies between two of them, in 8-bit numbers.

    Args:
        file: In float32.
        ranges: Of what its operators compute, by tensor.
        kept: Names of the filters of convolutions that stay in float32.
    """
    translation = _Translation(file, ranges)
    for operator, wanted in zip(file.operators, _wanted(file, kept), strict=True):
        if wanted and translation.can_have_8_bits(operator):
            translation.in_8_bits(operator)
        else:
            translation.as_it_was(operator)
    translation.made.outputs = {name: translation.read(tensor, None) for name, tensor in file.outputs.items()}
    return translation.made


def _wanted(file: File, kept: Collection[str]) -> list[bool]:
    """Which operators are convolutions in 8 bits, or compute what only such convolutions make worth it."""
    read_in_8_bits: set[int] = set()
    wanted = []
    for operator in reversed(file.operators):
        if operator.kind in CHANNELS:
            wanted.append(file.tensors[operator.inputs[1]].name not in kept)
        else:
            wanted.append(operator.kind in VERSIONS and operator.output in read_in_8_bits)
        if wanted[-1]:
            read_in_8_bits.update(operator.inputs)
    return wanted[::-1]


class _Translation:
    """From a file in float32 to one in 8 bits. A None in the place of a quantisation is for numbers as they were."""

    def __init__(self, file: File, ranges: Mapping[int, Range]) -> None:
        self.file, self.ranges, self.made = file, ranges, File()
        self.computed: dict[int, Quantization | None] = {file.image: None}
        """Tensors of `file` that an operator computes, and how."""
        image = file.tensors[file.image]
        self.made.image = self.made.tensor(image.name, image.shape, image.dtype)
        self.places: dict[tuple[int, Quantization | None], int] = {(file.image, None): self.made.image}
        """Where the tensors of `file` are in `made`; one may be there in several numbers."""

    def can_have_8_bits(self, operator: Operator) -> bool:
        """Whether it loses nothing to what reads its result, or has a known range and reads such numbers already."""
        if operator.kind in AS_READ:
            return True
        reads = operator.kind in CHANNELS or any(self.computed.get(tensor) for tensor in operator.inputs)
        return reads and operator.output in self.ranges

    def as_it_was(self, operator: Operator) -> None:
        inputs = [self.read(tensor, None) for tensor in operator.inputs]
        self.append(operator, inputs, None, version=operator.version)

    def in_8_bits(self, operator: Operator) -> None:
        wanted, result = self.quantizations(operator)
        inputs = [self.read(tensor, each) for tensor, each in zip(operator.inputs, wanted, strict=True)]
        self.append(operator, inputs, result, version=max(operator.version, VERSIONS[operator.kind]))

    def quantizations(self, operator: Operator) -> tuple[list[Quantization], Quantization]:
        """Of what an operator reads, and of its result, as its kind has to have them."""
        first, count = self.numbers(operator.inputs[0]), len(operator.inputs)
        if operator.kind in AS_READ:
            return [first] * count, first
        result = FIXED.get(operator.kind) or _between(*self.ranges[operator.output])
        if operator.kind == "CONCATENATION":
            return [result] * count, result
        if operator.kind in CHANNELS:
            return [first, *self.of_filters(operator, first)], result
        return [self.numbers(tensor) for tensor in operator.inputs], result

    def append(
        self, operator: Operator, inputs: Sequence[int], quantization: Quantization | None, *, version: int
    ) -> None:
        output = operator.output
        self.computed[output] = quantization
        self.places[output, quantization] = self.like(output, quantization)
        self.made.operator(
            operator.kind, inputs, self.places[output, quantization], version=version, options=operator.options
        )

    def numbers(self, tensor: int) -> Quantization:
        """Those that it has already, or would have."""
        values = self.file.tensors[tensor].values
        if values is not None:
            return _between(values.min(), values.max())
        return self.computed[tensor] or _between(*self.ranges[tensor])

    def of_filters(self, operator: Operator, read: Quantization) -> tuple[Quantization, Quantization]:
        """And of the bias, whose scale follows from theirs: where they are small beside it, it sets theirs."""
        (step,), dimension = read.scales, CHANNELS[operator.kind]
        filters, bias = (self.values(tensor) for tensor in operator.inputs[1:])
        others = tuple(axis for axis in range(filters.ndim) if axis != dimension)
        own = trained_steps(np.moveaxis(filters, dimension, 0))
        scales = np.abs(filters).max(axis=others) / 127 if own is None else own
        scales = np.maximum(scales, np.abs(bias) / (step * LARGEST_BIAS))
        scales = np.maximum(scales, LEAST_SCALE).astype(np.float32).astype(np.float64)
        return (
            Quantization(tuple(scales.tolist()), dimension=dimension),
            Quantization(tuple((step * scales).tolist()), dtype="int32"),
        )

    def read(self, tensor: int, quantization: Quantization | None) -> int:
        """Where `made` has it in these numbers, into which it is turned if need be; sizes and the like stay whole."""
        before = self.file.tensors[tensor]
        key = tensor, quantization if before.dtype == "float32" else None
        if key not in self.places:
            self.places[key] = self.converted(*key) if before.values is None else self.constant(*key)
        return self.places[key]

    def converted(self, tensor: int, quantization: Quantization | None) -> int:
        kind, version = ("DEQUANTIZE", 2) if quantization is None else ("QUANTIZE", 1)
        output = self.like(tensor, quantization)
        self.made.operator(kind, [self.places[tensor, self.computed[tensor]]], output, version=version)
        return output

    def constant(self, tensor: int, quantization: Quantization | None) -> int:
        values = self.values(tensor) if quantization is None else _quantized(self.values(tensor), quantization)
        return self.made.constant(self.file.tensors[tensor].name, values, quantization=quantization)

    def like(self, tensor: int, quantization: Quantization | None) -> int:
        """A new tensor of `made` for a result."""
        before = self.file.tensors[tensor]
        dtype = quantization.dtype if quantization else before.dtype
        return self.made.tensor(before.name, before.shape, dtype, quantization=quantization)

    def values(self, tensor: int) -> NDArray[Any]:
        values = self.file.tensors[tensor].values
        assert values is not None
        return values


def _between(low: float, high: float) -> Quantization:
    """256 steps over a range and zero, which has to be one of them: it is what borders are padded with."""
    low, high = min(float(low), 0.0), max(float(high), 0.0)
    step = float(np.float32((high - low) / 255)) or 1.0
    return Quantization((step,), round(-128 - low / step))


def _quantized(values: NDArray[Any], quantization: Quantization) -> NDArray[Any]:
    shape = [1] * values.ndim
    if values.ndim:
        shape[quantization.dimension] = -1
    steps = values.astype(np.float64) / np.reshape(quantization.scales, shape)
    bounds = np.iinfo(quantization.dtype)
    numbers: NDArray[Any] = np.clip(np.rint(steps) + quantization.zero_point, bounds.min, bounds.max)
    return numbers.astype(quantization.dtype)


def seen_ranges(
    graph: GraphModule, constants: Mapping[str, Tensor], images: Sequence[NDArray[np.uint8]]
) -> dict[str, Range]:
    """Of what each node computes in float32, by its name.

    Args:
        graph: Whose only input besides its constants is the image.
        constants: Of weights and the like, by the names of their nodes.
        images: (1, H, W, 3) each.
    """
    samples = _Samples(graph)
    inputs = [node.name for node in graph.graph.nodes if node.op == "placeholder"]
    with torch.inference_mode():
        for image in images:
            samples.run(*(constants.get(name, torch.from_numpy(image)) for name in inputs))
    return {name: closest_range(np.concatenate(seen)) for name, seen in samples.seen.items()}


class _Samples(Interpreter):
    def __init__(self, graph: GraphModule) -> None:
        super().__init__(graph)
        self.seen: dict[str, list[NDArray[np.float32]]] = {}
        self.generator = np.random.default_rng(0)

    def run_node(self, n: Node) -> Any:
        result = super().run_node(n)
        if n.op == "call_function" and isinstance(result, Tensor) and result.dtype == torch.float32:
            self.seen.setdefault(n.name, []).append(sample(result.numpy(), self.generator))
        return result
