"""TensorFlow Lite files, read without TensorFlow: the operators in order, their weights as float32.

A `.tflite` file is a flatbuffer (schema version 3, tensorflow/compiler/mlir/lite/schema/schema.fbs). The
field numbers below are those of that schema; only the tables that a convolutional network needs are read, and
every offset is checked before it is followed.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from deeplab.errors import CheckpointError, InputNotFoundError

__all__ = ["Convolution", "Graph", "Operator", "TensorInfo", "read_graph"]

Activation = Literal["none", "relu", "relu6"]

IDENTIFIER = b"TFL3"
KINDS = {
    0: "ADD", 1: "AVERAGE_POOL_2D", 2: "CONCATENATION", 3: "CONV_2D", 4: "DEPTHWISE_CONV_2D", 22: "RESHAPE",
    23: "RESIZE_BILINEAR", 25: "SOFTMAX", 40: "MEAN", 56: "ARG_MAX", 69: "TILE", 114: "QUANTIZE",
}  # fmt: skip
"""The built-in operators that occur in the networks we know; any other is named by its number."""
INT8 = 9
DTYPES: dict[int, DTypeLike] = {0: "<f4", 2: "<i4", 3: "<u1", 4: "<i8", INT8: "<i1"}
ACTIVATIONS: dict[int, Activation] = {0: "none", 1: "relu", 3: "relu6"}


class ConvolutionFields(NamedTuple):
    """Numbers of the fields of a convolution's options."""

    padding: int
    stride_width: int
    stride_height: int
    activation: int
    dilation_width: int
    dilation_height: int


CONVOLUTION_FIELDS = {
    "CONV_2D": ConvolutionFields(0, 1, 2, 3, 4, 5),
    "DEPTHWISE_CONV_2D": ConvolutionFields(0, 1, 2, 4, 5, 6),  # field 3 is the channel multiplier
}


@dataclass(frozen=True)
class TensorInfo:
    """One tensor of the graph; `values` are those of a constant, dequantised to float32, else None.

    A quantised value q stands for (q - zero_point) * scale; both are empty in a float tensor.
    """

    name: str
    shape: tuple[int, ...]
    scale: NDArray[np.float32]
    zero_point: NDArray[np.int64]
    values: NDArray[np.float32] | None
    signed: bool = False
    """Whether its numbers are int8."""


@dataclass(frozen=True)
class Operator:
    """One operator; `inputs` and `outputs` are positions in `Graph.tensors`, -1 where one is left out."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    align_corners: bool = False
    """Of a RESIZE_BILINEAR."""


@dataclass(frozen=True, kw_only=True)
class Convolution(Operator):
    """A CONV_2D or DEPTHWISE_CONV_2D. Pairs are (height, width)."""

    weight: NDArray[np.float32]
    """As in torch.nn.Conv2d: (out_channels, in_channels / groups, height, width)."""
    bias: NDArray[np.float32]
    """(out_channels,)"""
    stride: tuple[int, int]
    dilation: tuple[int, int]
    padding: Literal["same", "valid"]
    activation: Activation


@dataclass(frozen=True)
class Graph:
    """The network of a file: operators in the order in which they run."""

    operators: tuple[Operator, ...]
    tensors: tuple[TensorInfo, ...]
    image: TensorInfo
    """The first input, (N, height, width, channels)."""


def read_graph(path: Path) -> Graph:
    """The graph of the TensorFlow Lite file `path`, quantised (per tensor or per channel) or float.

    Raises:
        InputNotFoundError: There is no such file.
        CheckpointError: It is no TensorFlow Lite file, is cut short, or has a part that is not understood.
    """
    if not path.is_file():
        raise InputNotFoundError(f"{path}: no such file; wanted a TensorFlow Lite model (.tflite)")
    data = path.read_bytes()
    if data[4:8] != IDENTIFIER:
        raise CheckpointError(f"{path}: not a TensorFlow Lite model (its bytes 4 to 8 are not {IDENTIFIER.decode()})")
    try:
        return _graph(_Table.root(data))
    except (ValueError, LookupError, struct.error) as error:
        raise CheckpointError(
            f"{path}: damaged, cut short or of an unknown kind ({error}); get the TensorFlow Lite file anew"
        ) from error


def _graph(model: _Table) -> Graph:
    codes = [_operator_code(table) for table in model.tables(1)]
    subgraph = model.tables(2)[0]
    buffers = model.tables(4)
    tensors = tuple(_tensor(table, buffers) for table in subgraph.tables(0))
    operators = tuple(_operator(table, codes, tensors) for table in subgraph.tables(3))
    image = tensors[subgraph.integers(1)[0]]
    if len(image.shape) != 4:
        raise ValueError(f"its input has shape {image.shape}, which is no image")
    return Graph(operators, tensors, image)


def _operator_code(table: _Table) -> str:
    number = max(table.scalar(0, "<b"), table.scalar(3, "<i"))  # field 0 is the old, one-byte home of the same number
    return KINDS.get(number, f"operator {number}")


def _tensor(table: _Table, buffers: list[_Table]) -> TensorInfo:
    shape = table.integers(0)
    scale, zero_point, axis = _quantisation(table.table(4))
    stored = buffers[table.scalar(2, "<I")].array(0, "<u1")
    kind = table.scalar(1, "<b")
    dtype = DTYPES.get(kind)
    values = None
    if stored.size and dtype is not None:
        values = _dequantised(stored.view(dtype).reshape(shape), scale, zero_point, axis)
    return TensorInfo(table.string(3), shape, scale, zero_point, values, signed=kind == INT8)


def _quantisation(table: _Table | None) -> tuple[NDArray[np.float32], NDArray[np.int64], int]:
    """Scale and zero point, one of each or one per channel, none in a float tensor; the channels' axis."""
    if table is None:
        return np.empty(0, np.float32), np.empty(0, np.int64), 0
    scale, zero_point = table.array(2, "<f4"), table.array(3, "<i8")
    if not (np.isfinite(scale) & (scale > 0)).all():
        raise ValueError("a quantisation scale is not a positive number")
    return scale, zero_point if zero_point.size else np.zeros(scale.size, np.int64), table.scalar(6, "<i")


def _dequantised(
    values: NDArray[Any], scale: NDArray[np.float32], zero_point: NDArray[np.int64], axis: int
) -> NDArray[np.float32]:
    if not scale.size:
        return values.astype(np.float32)
    along_axis = [1] * values.ndim
    if scale.size > 1:  # per channel
        along_axis[axis] = -1
    offset = values.astype(np.int64) - zero_point.reshape(along_axis)
    return (offset * scale.astype(np.float64).reshape(along_axis)).astype(np.float32)


def _operator(table: _Table, codes: list[str], tensors: tuple[TensorInfo, ...]) -> Operator:
    kind = codes[table.scalar(0, "<I")]
    inputs, outputs = table.integers(1), table.integers(2)
    if not inputs or not outputs or not all(-1 <= position < len(tensors) for position in inputs + outputs):
        raise LookupError(f"a {kind} reads or writes a tensor that is not there")
    options = table.table(4)
    if kind in CONVOLUTION_FIELDS and options:
        return _convolution(kind, inputs, outputs, options, tensors)
    align_corners = kind == "RESIZE_BILINEAR" and options is not None and bool(options.scalar(2, "<b"))
    return Operator(kind, inputs, outputs, align_corners)


def _convolution(
    kind: str,
    inputs: tuple[int, ...],
    outputs: tuple[int, ...],
    options: _Table,
    tensors: tuple[TensorInfo, ...],
) -> Convolution:
    # CONV_2D stores (out, height, width, in), DEPTHWISE_CONV_2D (1, height, width, channels)
    weight = _constant(tensors[inputs[1]]).transpose((0, 3, 1, 2) if kind == "CONV_2D" else (3, 0, 1, 2))
    has_bias = len(inputs) > 2 and inputs[2] >= 0
    bias = _constant(tensors[inputs[2]]) if has_bias else np.zeros(len(weight), np.float32)
    if bias.shape != (len(weight),):
        raise ValueError(f"a {kind} of {len(weight)} channels has a bias of shape {bias.shape}")
    fields = CONVOLUTION_FIELDS[kind]
    return Convolution(
        kind,
        inputs,
        outputs,
        weight=np.ascontiguousarray(weight),
        bias=bias,
        stride=(options.scalar(fields.stride_height, "<i"), options.scalar(fields.stride_width, "<i")),
        dilation=(
            options.scalar(fields.dilation_height, "<i", 1),
            options.scalar(fields.dilation_width, "<i", 1),
        ),
        padding="valid" if options.scalar(fields.padding, "<b") else "same",
        activation=ACTIVATIONS[options.scalar(fields.activation, "<b")],
    )


def _constant(tensor: TensorInfo) -> NDArray[np.float32]:
    if tensor.values is None:
        raise ValueError(f"the weight {tensor.name} is not stored as numbers of a known type")
    return tensor.values


class _Table:
    """A flatbuffer table: reads a field by its number; one that the file leaves out has its default value."""

    def __init__(self, data: bytes, position: int) -> None:
        self.data = data
        self.position = position
        self.fields = position - self._unpack("<i", position)  # where the offsets of the fields are listed
        self.num_fields = self._unpack("<H", self.fields) // 2 - 2

    @classmethod
    def root(cls, data: bytes) -> _Table:
        return cls(data, int.from_bytes(data[:4], "little"))

    def scalar(self, field: int, format: str, default: int = 0) -> int:
        position = self._position(field)
        return self._unpack(format, position) if position else default

    def table(self, field: int) -> _Table | None:
        position = self._position(field)
        return self._table_at(position) if position else None

    def tables(self, field: int) -> list[_Table]:
        start, length = self._vector(field, item_size=4)
        return [self._table_at(start + 4 * index) for index in range(length)]

    def array(self, field: int, dtype: DTypeLike) -> NDArray[Any]:
        start, length = self._vector(field, item_size=np.dtype(dtype).itemsize)
        return np.frombuffer(self.data, dtype, count=length, offset=start)

    def integers(self, field: int) -> tuple[int, ...]:
        return tuple(self.array(field, "<i4").tolist())

    def string(self, field: int) -> str:
        return self.array(field, "<u1").tobytes().decode(errors="replace")

    def _position(self, field: int) -> int:
        """Where the value of the field is; 0 when the file leaves it out."""
        offset = self._unpack("<H", self.fields + 4 + 2 * field) if field < self.num_fields else 0
        return self.position + offset if offset else 0

    def _table_at(self, position: int) -> _Table:
        return _Table(self.data, position + self._unpack("<I", position))

    def _vector(self, field: int, *, item_size: int) -> tuple[int, int]:
        """Where the first item is, and the number of items."""
        position = self._position(field)
        if not position:
            return 0, 0
        position += self._unpack("<I", position)
        length = self._unpack("<I", position)
        if position + 4 + length * item_size > len(self.data):
            raise ValueError(f"a list of {length} items runs over the end of the file")
        return position + 4, length

    def _unpack(self, format: str, position: int) -> int:
        if not 0 <= position <= len(self.data) - struct.calcsize(format):
            raise ValueError(f"it points to byte {position} of {len(self.data)}")
        return int(struct.unpack_from(format, self.data, position)[0])
