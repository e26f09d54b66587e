"""Frozen TensorFlow graphs (.pb), read without TensorFlow: the weights by name, and the stride of the network.

The file is one protocol buffer, a GraphDef (tensorflow/core/framework/graph.proto); the field numbers below are those
of that file, node_def.proto, attr_value.proto and tensor.proto.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deeplab.errors import CheckpointError, InputNotFoundError
from deeplab.weights._protobuf import DTYPES, message, shape_of

NODE = 1
NAME, OPERATION, ATTRIBUTE = 1, 2, 5
KEY, VALUE = 1, 2
LIST, TENSOR = 1, 8
INTEGERS = 3
DTYPE, SHAPE, CONTENT, FLOATS = 1, 2, 4, 5

WEIGHTS = ("weights", "biases", "gamma", "beta", "moving_mean", "moving_variance")
"""Ends of the names that TensorFlow's slim gives its variables."""

STRIDING = ("Conv2D", "DepthwiseConv2dNative", "MaxPool")
"""Operations that the networks we know stride by; a ResNet pools once."""


class Node(NamedTuple):
    """An operation and its attributes."""

    name: str
    operation: str
    attributes: dict[str, dict[int, list[Any]]]


def read_constants(path: Path) -> dict[str, NDArray[Any]]:
    """The variables that were frozen into the graph, by name.

    Raises:
        InputNotFoundError: There is no such file.
        CheckpointError: It is damaged, or another kind of file.
    """
    try:
        nodes = [node for node in _nodes(path) if node.operation == "Const" and node.name.endswith(WEIGHTS)]
        return {node.name: _array(message(node.attributes["value"][TENSOR][0])) for node in nodes}
    except (IndexError, KeyError, ValueError) as error:
        raise _damaged(path) from error


def output_stride(path: Path) -> int | None:
    """The product of the strides of the network's convolutions and poolings, shortcuts aside; None where that is no
    power of two from 4 to 32, as for networks that stride in other ways too. Raises as `read_constants`."""
    try:
        scopes = {name.partition("/")[0] for name in read_constants(path) if name.endswith("gamma")}
        stride = 1
        for node in _nodes(path):
            inside = node.name.partition("/")[0] in scopes and "shortcut" not in node.name
            if inside and node.operation in STRIDING:
                stride *= _integers(node.attributes["strides"])[1]
    except (IndexError, KeyError, ValueError) as error:
        raise _damaged(path) from error
    return stride if stride in (4, 8, 16, 32) else None


def _nodes(path: Path) -> Iterator[Node]:
    if not path.is_file():
        raise InputNotFoundError(f"no graph file {path}")
    for node in message(path.read_bytes())[NODE]:
        fields = message(node)
        pairs = (message(each) for each in fields.get(ATTRIBUTE, []))
        attributes = {pair[KEY][0].decode(): message(pair[VALUE][0]) for pair in pairs}
        yield Node(fields[NAME][0].decode(), fields[OPERATION][0].decode(), attributes)


def _array(tensor: dict[int, list[Any]]) -> NDArray[Any]:
    """A TensorProto; values that are all the same stand there once."""
    shape = shape_of(tensor.get(SHAPE, [b""])[0])
    if CONTENT in tensor:
        values = np.frombuffer(tensor[CONTENT][0], DTYPES[tensor[DTYPE][0]])
    else:
        values = np.frombuffer(b"".join(_packed(each) for each in tensor[FLOATS]), "<f4")
    if values.size not in (1, math.prod(shape)):
        raise ValueError("a tensor of another size than its shape")
    return np.broadcast_to(values, shape) if values.size == 1 else values.reshape(shape)


def _packed(value: int | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.to_bytes(4, "little")


def _integers(attribute: dict[int, list[Any]]) -> list[int]:
    """A list of numbers, each a field or all packed into one."""
    values: list[int] = []
    for each in message(attribute[LIST][0])[INTEGERS]:
        values += list(each) if isinstance(each, bytes) else [each]  # each below 128 is its own byte
    return values


def _damaged(path: Path) -> CheckpointError:
    return CheckpointError(f"{path}: no frozen TensorFlow graph, or a damaged one")
