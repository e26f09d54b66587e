"""The wire format of protocol buffers, and what TensorFlow's files have in common in it."""

from __future__ import annotations

from typing import Any

from numpy.typing import DTypeLike

DTYPES: dict[int, DTypeLike] = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8", 19: "<f2"}
"""tensorflow/core/framework/types.proto; what else there is, is no weight and left out."""

DIMENSION, LENGTH = 2, 1


def shape_of(data: bytes) -> tuple[int, ...]:
    """The lengths in a TensorShapeProto (tensorflow/core/framework/tensor_shape.proto)."""
    return tuple(int(message(each).get(LENGTH, [0])[0]) for each in message(data).get(DIMENSION, []))


def message(data: bytes) -> dict[int, list[Any]]:
    """The fields of a protocol buffer: numbers, and bytes where the field is a message or text."""
    fields: dict[int, list[Any]] = {}
    position = 0
    while position < len(data):
        tag, position = varint(data, position)
        number, kind = tag >> 3, tag & 7
        value: int | bytes
        if kind == 0:
            value, position = varint(data, position)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
            value, position = int.from_bytes(data[position : position + length], "little"), position + length
        elif kind == 2:
            length, position = varint(data, position)
            value, position = data[position : position + length], position + length
        else:
            raise ValueError("no protocol buffer")
        if position > len(data):
            raise ValueError("a field is cut off")
        fields.setdefault(number, []).append(value)
    return fields


def varint(data: bytes, position: int) -> tuple[int, int]:
    """A number of seven bits a byte, and the position behind it."""
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
