from __future__ import annotations

import contextlib
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deeplab.errors import CheckpointError, InputNotFoundError
from deeplab.weights._tflite_graph import Convolution, read_graph

INT, BYTE, BOOL = "<i", "<b", "<?"
FLOAT32, INT32, UINT8, INT8 = 0, 2, 3, 9
CONV_2D, RESIZE_BILINEAR, CUSTOM = 3, 23, 32


def flatbuffer(root: dict[int, Any]) -> bytes:
    """A flatbuffer of nested tables {field: (format, scalar) | array | table | list of tables}."""
    data = bytearray(4) + b"TFL3"

    def put(offset_at: int, value: Any) -> None:
        data.extend(bytes(-len(data) % 4))
        if isinstance(value, dict):
            data.extend(struct.pack("<HH", 4 + 2 * (max(value, default=-1) + 1), 0))
            for field in range(max(value, default=-1) + 1):
                data.extend(struct.pack("<H", 4 + 8 * sorted(value).index(field) if field in value else 0))
            data.extend(bytes(-len(data) % 4))
            vtable_size = 4 + 2 * (max(value, default=-1) + 1)
            vtable = len(data) - vtable_size - vtable_size % 4
            start = len(data)
            struct.pack_into("<I", data, offset_at, start - offset_at)
            data.extend(struct.pack("<i", start - vtable) + bytes(8 * len(value)))
            for slot, field in enumerate(sorted(value)):
                if isinstance(value[field], tuple):
                    struct.pack_into(value[field][0], data, start + 4 + 8 * slot, value[field][1])
                else:
                    put(start + 4 + 8 * slot, value[field])
        else:
            struct.pack_into("<I", data, offset_at, len(data) - offset_at)
            data.extend(struct.pack("<I", len(value)))
            if isinstance(value, list):
                slots = len(data)
                data.extend(bytes(4 * len(value)))
                for index, item in enumerate(value):
                    put(slots + 4 * index, item)
            else:
                data.extend(value.tobytes())

    put(0, root)
    return bytes(data)


def tensor(shape: tuple[int, ...], dtype: int, buffer: int, **quantisation: Any) -> dict[int, Any]:
    table = {0: np.array(shape, "<i4"), 1: (BYTE, dtype), 2: (INT, buffer), 3: np.frombuffer(b"name", "u1")}
    if quantisation:
        table[4] = {
            2: np.array(quantisation["scale"], "<f4"),
            3: np.array(quantisation["zero_point"], "<i8"),
            6: (INT, quantisation.get("axis", 0)),
        }
    return table


def one_convolution(weight: dict[int, Any], bias: dict[int, Any], *stored: np.ndarray) -> bytes:
    """A file with one CONV_2D: VALID, stride (3, 2), dilation (5, 4), ReLU6."""
    options = {0: (BYTE, 1), 1: (INT, 2), 2: (INT, 3), 3: (BYTE, 3), 4: (INT, 4), 5: (INT, 5)}
    operator = {0: (INT, 0), 1: np.array([0, 1, 2], "<i4"), 2: np.array([3], "<i4"), 4: options}
    image, result = tensor((1, 4, 4, 1), FLOAT32, 0), tensor((1, 2, 2, 2), FLOAT32, 0)
    subgraph = {
        0: [image, weight, bias, result], 1: np.array([0], "<i4"), 2: np.array([3], "<i4"), 3: [operator],
    }  # fmt: skip
    buffers = [{}] + [{0: np.frombuffer(values.tobytes(), "u1")} for values in stored]
    return flatbuffer({0: (INT, 3), 1: [{0: (BYTE, CONV_2D)}], 2: [subgraph], 4: buffers})


@pytest.fixture
def float_file(tmp_path: Path) -> Path:
    weight = np.array([[[[1.0], [2.0]]], [[[3.0], [4.0]]]], "<f4")  # (out 2, height 1, width 2, in 1)
    file = tmp_path / "float.tflite"
    file.write_bytes(
        one_convolution(
            tensor(weight.shape, FLOAT32, 1), tensor((2,), FLOAT32, 2), weight, np.array([0.5, -0.5], "<f4")
        )
    )
    return file


def test_a_float_convolution_is_read_with_its_options(float_file: Path) -> None:
    (operator,) = read_graph(float_file).operators
    assert isinstance(operator, Convolution)
    assert (operator.kind, operator.stride, operator.dilation) == ("CONV_2D", (3, 2), (5, 4))
    assert (operator.padding, operator.activation) == ("valid", "relu6")
    assert operator.weight.tolist() == [[[[1, 2]]], [[[3, 4]]]]  # (out, in, height, width)
    assert operator.bias.tolist() == [0.5, -0.5]


def test_weights_quantised_per_tensor_are_scaled(tmp_path: Path) -> None:
    weight = tensor((2, 1, 2, 1), UINT8, 1, scale=[0.5], zero_point=[128])
    bias = tensor((2,), INT32, 2, scale=[0.25], zero_point=[0])
    file = tmp_path / "per_tensor.tflite"
    file.write_bytes(one_convolution(weight, bias, np.array([128, 130, 0, 255], "u1"), np.array([-4, 10], "<i4")))
    (operator,) = read_graph(file).operators
    assert isinstance(operator, Convolution)
    assert operator.weight.ravel().tolist() == [0, 1, -64, 63.5]
    assert operator.bias.tolist() == [-1, 2.5]


def test_weights_quantised_per_channel_are_scaled_along_their_axis(tmp_path: Path) -> None:
    weight = tensor((2, 1, 2, 1), INT8, 1, scale=[0.5, 2.0], zero_point=[0, 0], axis=0)
    bias = tensor((2,), INT32, 2, scale=[0.25, 1.0], zero_point=[0, 0])
    file = tmp_path / "per_channel.tflite"
    file.write_bytes(one_convolution(weight, bias, np.array([1, -2, 3, -4], "i1"), np.array([2, 2], "<i4")))
    graph = read_graph(file)
    (operator,) = graph.operators
    assert isinstance(operator, Convolution)
    assert [each.signed for each in graph.tensors] == [False, True, False, False]
    assert operator.weight.ravel().tolist() == [0.5, -1, 6, -8]
    assert operator.bias.tolist() == [0.5, 2]


def test_a_file_cut_short_anywhere_is_refused_by_name(float_file: Path) -> None:
    data = float_file.read_bytes()
    read_graph(float_file)
    for length in range(len(data) - 7):  # the last 8 bytes are the bias; its list is found to run over the end
        float_file.write_bytes(data[:length])
        with pytest.raises(CheckpointError, match=r"float\.tflite"):
            read_graph(float_file)


def test_random_damage_gives_a_graph_or_our_error(float_file: Path) -> None:
    data = np.frombuffer(float_file.read_bytes(), np.uint8)
    random = np.random.default_rng(0)
    for _ in range(500):
        damaged = data.copy()
        damaged[random.integers(8, data.size, size=3)] = random.integers(256, size=3)
        float_file.write_bytes(damaged.tobytes())
        with contextlib.suppress(CheckpointError):
            read_graph(float_file)


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "photo.tflite"
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with pytest.raises(CheckpointError, match="not a TensorFlow Lite model"):
        read_graph(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError, match="absent"):
        read_graph(tmp_path / "absent.tflite")
