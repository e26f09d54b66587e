"""A traced graph as a TensorFlow Lite file.

Google's own converter wants another PyTorch, JAX and more than a gigabyte; a DeepLab needs about twenty operators,
which are here. What PyTorch has as (N, C, H, W) is (N, H, W, C) in the file, as the pixels of an image are already.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.export import ExportedProgram
from torch.fx import Node

from deeplab.errors import SettingsError
from deeplab.runtimes._int8 import Int8
from deeplab.runtimes._tflite_file import File, schema, table
from deeplab.runtimes._tflite_int8 import in_8_bits, seen_ranges

PLACES = (0, 3, 1, 2)
"""Where the dimensions N, C, H, W lie in the file."""

CHANNELS_LAST = (0, 2, 3, 1)
"""The dimensions in the order of the file."""

TYPES = {torch.float32: "float32", torch.uint8: "uint8", torch.int32: "int32", torch.int64: "int32"}
"""Of PyTorch's tensors in the file; the int64 of an argmax are class indices."""

Pair = tuple[int, int]


def to_tflite(
    program: ExportedProgram, *, outputs: Sequence[str], metadata: Mapping[str, str], int8: Int8 | None = None
) -> bytes:
    """The content of a file from a graph of uint8 (N, H, W, 3) of a fixed size.

    Args:
        outputs: Names for them.
        metadata: Texts to lie in the file as well, by name.
        int8: Convolutions in 8-bit numbers.

    Raises:
        MissingExtraError: ai-edge-litert is not installed.
        SettingsError: The graph has an operator for which there is none here.
    """
    traced, program = program, program.run_decompositions({})  # of which none is left that changes its input
    signature = program.graph_signature
    stored = {**program.state_dict, **program.constants}
    names = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    constants = {node: stored[name].detach() for node, name in names.items()}
    translation = _Translation(names)
    file, tensors = translation.file, translation.tensors
    for node in program.graph.nodes:
        if node.name in constants:
            translation.values[node] = constants[node.name].numpy()
        elif node.op == "placeholder":
            file.image = tensors[node] = file.tensor("image", node.meta["val"].shape, "uint8")
        elif node.op == "call_function":
            translation.translate(node)
    places = {node.name: tensor for node, tensor in tensors.items()}
    file.outputs = {name: places[str(node)] for name, node in zip(outputs, signature.user_outputs, strict=True)}
    if int8 is not None:
        images = int8.images
        seen = int8.once(traced, lambda: seen_ranges(program.graph_module, constants, images))
        ranges = {places[name]: found for name, found in seen.items()}  # of an activation within: after it
        file = in_8_bits(file, ranges, kept={f"model.{layer}.weight" for layer in int8.kept})
    return file.content(metadata)


class _Translation:
    """From the nodes of PyTorch's graph to tensors of the file. A method translates an operator, given its node and its
    arguments in PyTorch's order, and returns the tensor of the result.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        self.file = File()
        self.names = names
        """Of weights and other constants in the model, by those of their nodes."""
        self.tensors: dict[Node, int] = {}
        self.values: dict[Node, NDArray[Any]] = {}
        """Of weights and other constants, as in PyTorch."""
        self.with_activation: dict[Node, Any] = {}
        """The options of operators of which an activation can be a part."""

    def translate(self, node: Node) -> None:
        name = str(node.target).removeprefix("aten.")
        if name in WITHOUT_EFFECT:
            return
        if name not in OPERATORS:
            raise _without(name)
        assert isinstance(node.target, torch._ops.OpOverload)
        further = node.target._schema.arguments[len(node.args) :]
        arguments = [*node.args, *(node.kwargs.get(each.name, each.default_value) for each in further)]
        self.tensors[node] = OPERATORS[name](self, node, *arguments)

    def apply(
        self, node: Node, kind: str, *inputs: int, version: int = 1, shape: Sequence[int] | None = None, **options: Any
    ) -> int:
        """Append an operator and the tensor that it computes: the node, or with a `shape` something before it."""
        output = self.file.tensor(node.name, shape or _lengths(node), TYPES[node.meta["val"].dtype])
        chosen = table(OPTIONS[kind], **options) if kind in OPTIONS else None
        self.file.operator(kind, inputs, output, version=version, options=chosen)
        if shape is None and kind in ("ADD", "CONV_2D", "DEPTHWISE_CONV_2D"):
            self.with_activation[node] = chosen
        return output

    def tensor(self, node: Node, value: Node | float) -> int:
        """That of an argument of `node`."""
        if not isinstance(value, Node):
            return self.file.constant(node.name, np.array(value, np.float32))
        if value in self.tensors:
            return self.tensors[value]
        values = self.values[value]
        in_place = values.reshape((1,) * (4 - values.ndim) + values.shape).transpose(CHANNELS_LAST)
        return self.file.constant(value.name, in_place)

    def whole(self, node: Node, *values: int) -> int:
        return self.file.constant(node.name, np.array(values, np.int32))

    def same(self, node: Node, x: Node, *_: Any) -> int:
        return self.tensors[x]

    def permute(self, node: Node, x: Node, axes: Sequence[int]) -> int:
        if x.op != "placeholder" or tuple(axes) != PLACES:
            raise _without("permuting dimensions")
        return self.tensors[x]

    def cast(self, node: Node, x: Node, *_: Any) -> int:
        if TYPES[x.meta["val"].dtype] == TYPES[node.meta["val"].dtype]:
            return self.tensors[x]
        return self.apply(node, "CAST", self.tensors[x])

    def arithmetic(self, node: Node, x: Node | float, y: Node | float, alpha: float = 1, *, kind: str) -> int:
        if alpha != 1:
            raise _without("sums with a factor")
        return self.apply(node, kind, self.tensor(node, x), self.tensor(node, y))

    def activation(self, node: Node, x: Node, *, kind: str) -> int:
        """A part of the operator before it, where nothing else reads what that computes."""
        options = self.with_activation.get(x)
        if options is None or len(x.users) > 1:
            return self.apply(node, kind, self.tensors[x])
        options.fusedActivationFunction = getattr(schema().ActivationFunctionType, kind)
        return self.tensors[x]

    def clamp(self, node: Node, x: Node, low: float, high: float) -> int:
        if (low, high) == (0, 6):
            return self.activation(node, x, kind="RELU6")
        raised = self.apply(node, "MAXIMUM", self.tensors[x], self.tensor(node, low), shape=_lengths(node))
        return self.apply(node, "MINIMUM", raised, self.tensor(node, high))

    def operator(self, node: Node, x: Node, *, kind: str) -> int:
        return self.apply(node, kind, self.tensors[x])

    def conv2d(
        self,
        node: Node,
        x: Node,
        weight: Node,
        bias: Node | None,
        stride: Pair,
        padding: Pair,
        dilation: Pair,
        groups: int,
    ) -> int:
        filters = self.values[weight]
        depthwise = groups == x.meta["val"].shape[1]
        start, way = self.padded(node, x, filters.shape[2:], stride, padding, dilation)
        options: dict[str, Any] = {"depthMultiplier": len(filters) // groups} if depthwise else {}
        return self.apply(
            node,
            "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D",
            start,
            self.file.constant(self.names[weight.name], filters.transpose((1, 2, 3, 0) if depthwise else (0, 2, 3, 1))),
            self.file.constant(
                f"{weight.name}_bias", self.values[bias] if bias else np.zeros(len(filters), np.float32)
            ),
            version=2 if depthwise and max(dilation) > 1 else 1,
            padding=way,
            strideH=stride[0],
            strideW=stride[1],
            dilationHFactor=dilation[0],
            dilationWFactor=dilation[1],
            **options,
        )

    def max_pool(self, node: Node, x: Node, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, *_: Any) -> int:
        if max(dilation) > 1:
            raise _without("pooling with gaps")
        start, way = self.padded(node, x, kernel, stride, padding, dilation, value=float(np.finfo(np.float32).min))
        return self.pool(node, "MAX_POOL_2D", start, way, kernel, stride)

    def mean_pool(
        self, node: Node, x: Node, kernel: Pair, stride: Pair, padding: Pair, ceil: bool, padding_counts: bool, *_: Any
    ) -> int:
        if ceil or (max(padding) > 0 and not padding_counts):
            raise _without("means over parts of windows")
        pads = [(padding[0], padding[0]), (padding[1], padding[1])]
        start = self.with_border(node, x, pads, 0) if max(padding) > 0 else self.tensors[x]
        return self.pool(node, "AVERAGE_POOL_2D", start, schema().Padding.VALID, kernel, stride)

    def pool(self, node: Node, kind: str, start: int, way: int, kernel: Pair, stride: Pair) -> int:
        return self.apply(
            node,
            kind,
            start,
            padding=way,
            filterHeight=kernel[0],
            filterWidth=kernel[1],
            strideH=stride[0],
            strideW=stride[1],
        )

    def padded(
        self, node: Node, x: Node, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, *, value: float = 0
    ) -> tuple[int, int]:
        """The tensor that the windows of `node` move over, and how they pad it themselves: SAME or VALID."""
        pads, centred = [], True
        for length, samples, size, step, before, gap in zip(
            x.meta["val"].shape[2:], node.meta["val"].shape[2:], kernel, stride, padding, dilation, strict=True
        ):
            missing = max((samples - 1) * step + (size - 1) * gap + 1 - length, 0)
            pads += [(before, max(missing - before, 0))]
            centred &= samples == -(-length // step) and before == missing // 2
        if not np.any(pads):
            return self.tensors[x], schema().Padding.VALID
        if centred:
            return self.tensors[x], schema().Padding.SAME
        return self.with_border(node, x, pads, value), schema().Padding.VALID

    def pad(self, node: Node, x: Node, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> int:
        """`pad`: before and after, the last dimension first."""
        if mode != "constant" or len(pad) > 4:
            raise _without(f"padding of the kind {mode}")
        if not any(pad):
            return self.tensors[x]
        left, right, top, bottom = (*pad, 0, 0)[:4]
        return self.with_border(node, x, [(top, bottom), (left, right)], value or 0)

    def with_border(self, node: Node, x: Node, pads: Sequence[Pair], value: float) -> int:
        """`pads`: before and after, of the height and the width."""
        border = np.array([(0, 0), *pads, (0, 0)], np.int32)
        shape = np.add(_lengths(x), border.sum(axis=1)).tolist()
        inputs = [self.tensors[x], self.file.constant(node.name, border)]
        if value == 0:
            return self.apply(node, "PAD", *inputs, shape=shape)
        return self.apply(node, "PADV2", *inputs, self.tensor(node, value), shape=shape)

    def reduce(self, node: Node, x: Node, dims: Sequence[int], keepdim: bool, *_: Any, kind: str) -> int:
        """Over height and width, or over what was stacked."""
        places = sorted(dim % x.meta["val"].ndim for dim in dims)
        if (places, keepdim) == ([2, 3], True):
            places = [1, 2]
        elif (places, keepdim) != ([0], False):
            raise _without("a reduction over other dimensions than height and width")
        return self.apply(node, kind, self.tensors[x], self.whole(node, *places), keepDims=keepdim)

    def stack(self, node: Node, parts: Sequence[Node], dim: int = 0) -> int:
        if dim != 0:
            raise _without("stacking along another dimension than the first")
        return self.apply(node, "PACK", *(self.tensors[part] for part in parts), valuesCount=len(parts))

    def concatenate(self, node: Node, parts: Sequence[Node], dim: int = 0) -> int:
        tensors = [self.tensors[part] for part in parts]
        if len(tensors) == 1:
            return tensors[0]
        return self.apply(node, "CONCATENATION", *tensors, axis=PLACES[dim % 4])

    def slice(self, node: Node, x: Node, dim: int, start: int | None, end: int | None, step: int) -> int:
        lengths, place = _lengths(x), PLACES[dim % 4]
        first, last, steps = [0] * 4, list(lengths), [1] * 4
        first[place], last[place], _ = builtins.slice(start, end).indices(lengths[place])
        steps[place] = step
        corners = (self.whole(node, *numbers) for numbers in (first, last, steps))
        return self.apply(node, "STRIDED_SLICE", self.tensors[x], *corners)

    def resize(
        self, node: Node, x: Node, size: Pair | None, align_corners: bool, factors: Sequence[float] | None = None
    ) -> int:
        sides = list(zip(x.meta["val"].shape[2:], node.meta["val"].shape[2:], factors or (0, 0), strict=True))
        if factors and not align_corners and any(factor * before != after for before, after, factor in sides):
            raise _without("resizing by a factor that gives no whole number of pixels")
        return self.apply(
            node,
            "RESIZE_BILINEAR",
            self.tensors[x],
            self.whole(node, *_lengths(node)[1:3]),
            version=1 if align_corners else 3,
            alignCorners=align_corners,
            halfPixelCenters=not align_corners,
        )

    def expand(self, node: Node, x: Node, *_: Any) -> int:
        """One value over all pixels."""
        before, after = x.meta["val"].shape, node.meta["val"].shape
        if len(after) != 4 or before != (*after[:2], 1, 1):
            raise _without("repeating other than over height and width")
        return self.resize(node, x, None, align_corners=True)

    def argmax(self, node: Node, x: Node, dim: int | None, keepdim: bool) -> int:
        if dim is None or keepdim:
            raise _without("an argmax over all dimensions")
        place = self.whole(node, PLACES[dim % 4])
        return self.apply(node, "ARG_MAX", self.tensors[x], place, outputType=schema().TensorType.INT32)

    def hard_sigmoid(self, node: Node, x: Node) -> int:
        shape, activation = _lengths(node), schema().ActivationFunctionType.RELU6
        bounded = self.apply(
            node, "ADD", self.tensors[x], self.tensor(node, 3), shape=shape, fusedActivationFunction=activation
        )
        return self.apply(node, "MUL", bounded, self.tensor(node, 1 / 6))


WITHOUT_EFFECT = ("_assert_tensor_metadata.default",)
"""Operators that compute nothing."""

OPERATORS: dict[str, Callable[..., int]] = {
    "_to_copy.default": _Translation.cast,
    "add.Tensor": partial(_Translation.arithmetic, kind="ADD"),
    "amax.default": partial(_Translation.reduce, kind="REDUCE_MAX"),
    "alias.default": _Translation.same,
    "argmax.default": _Translation.argmax,
    "avg_pool2d.default": _Translation.mean_pool,
    "cat.default": _Translation.concatenate,
    "conv2d.default": _Translation.conv2d,
    "div.Tensor": partial(_Translation.arithmetic, kind="DIV"),
    "expand.default": _Translation.expand,
    "hardsigmoid.default": _Translation.hard_sigmoid,
    "hardswish.default": partial(_Translation.operator, kind="HARD_SWISH"),
    "hardtanh.default": _Translation.clamp,
    "max_pool2d.default": _Translation.max_pool,
    "mean.dim": partial(_Translation.reduce, kind="MEAN"),
    "mul.Tensor": partial(_Translation.arithmetic, kind="MUL"),
    "pad.default": _Translation.pad,
    "permute.default": _Translation.permute,
    "relu.default": partial(_Translation.activation, kind="RELU"),
    "relu6.default": partial(_Translation.activation, kind="RELU6"),
    "sigmoid.default": partial(_Translation.operator, kind="LOGISTIC"),
    "slice.Tensor": _Translation.slice,
    "stack.default": _Translation.stack,
    "sub.Tensor": partial(_Translation.arithmetic, kind="SUB"),
    "sum.dim_IntList": partial(_Translation.reduce, kind="SUM"),
    "upsample_bilinear2d.vec": _Translation.resize,
}
"""How PyTorch's operators are translated."""

OPTIONS = {
    "ADD": "AddOptions",
    "ARG_MAX": "ArgMaxOptions",
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "CONCATENATION": "ConcatenationOptions",
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "DIV": "DivOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "MEAN": "ReducerOptions",
    "MUL": "MulOptions",
    "PACK": "PackOptions",
    "REDUCE_MAX": "ReducerOptions",
    "RESIZE_BILINEAR": "ResizeBilinearOptions",
    "STRIDED_SLICE": "StridedSliceOptions",
    "SUB": "SubOptions",
    "SUM": "ReducerOptions",
}
"""The tables of the operators' options; the others have none that matters."""


def _lengths(node: Node) -> tuple[int, ...]:
    """The shape that a node has in the file."""
    *before, channels, height, width = map(int, node.meta["val"].shape)
    return (*before, height, width, channels) if before else (channels, height, width)  # a label map is (N, H, W)


def _without(what: str) -> SettingsError:
    return SettingsError(f"litert has no operator here for {what}, which this model needs; export it as onnx")
