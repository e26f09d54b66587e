"""TensorFlow checkpoints, read without TensorFlow: variables by name.

A checkpoint is `NAME.index`, a sorted table in the format of LevelDB (its table_format.md), and the raw bytes of the
variables in `NAME.data-00000-of-00001` ... The values of the table are protocol buffers: BundleHeaderProto under the
empty key, a BundleEntryProto for each variable (tensorflow/core/protobuf/tensor_bundle.proto). The field numbers
below are those of that file; every offset is checked before it is followed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeplab.errors import CheckpointError, InputNotFoundError
from deeplab.weights._protobuf import DTYPES, message, shape_of, varint

__all__ = ["read_variables"]

MAGIC = bytes.fromhex("57fb808b247547db")
FOOTER_LENGTH = 48
TRAILER_LENGTH = 5
"""Compression and checksum behind every block."""

DTYPE, SHAPE, SHARD, OFFSET, SIZE = 1, 2, 3, 4, 5
NUM_SHARDS = 1


def read_variables(path: Path) -> dict[str, NDArray[Any]]:
    """The variables of the checkpoint `path`: its name as TensorFlow takes it, NAME, or the file NAME.index.

    Raises:
        InputNotFoundError: A file of it is missing.
        CheckpointError: It is damaged, or another kind of file.
    """
    prefix = path.with_suffix("") if path.suffix == ".index" else path
    index = prefix.with_name(f"{prefix.name}.index")
    if not index.is_file() and path.is_file():
        raise CheckpointError(f"{path}: not a TensorFlow checkpoint, which is NAME.index and NAME.data-00000-of-00001")
    if not index.is_file():
        raise InputNotFoundError(f"no checkpoint {index}; wanted the name before .index, or that file")
    try:
        table = dict(_table(index.read_bytes()))
        header = message(table.pop(b""))
        shards = [_shard(prefix, number, int(header[NUM_SHARDS][0])) for number in range(int(header[NUM_SHARDS][0]))]
        found = {key.decode(): _variable(message(entry), shards) for key, entry in table.items()}
    except (IndexError, KeyError, ValueError) as error:
        raise CheckpointError(f"{index}: no TensorFlow checkpoint, or a damaged one") from error
    return {name: values for name, values in found.items() if values is not None}


def _shard(prefix: Path, number: int, count: int) -> bytes:
    file = prefix.with_name(f"{prefix.name}.data-{number:05d}-of-{count:05d}")
    if not file.is_file():
        raise InputNotFoundError(f"no {file}, which belongs to the checkpoint; put it beside {prefix.name}.index")
    return file.read_bytes()


def _variable(entry: dict[int, list[Any]], shards: list[bytes]) -> NDArray[Any] | None:
    dtype = DTYPES.get(entry[DTYPE][0])
    if dtype is None:
        return None
    shape = shape_of(entry.get(SHAPE, [b""])[0])
    start, size = (int(entry.get(field, [0])[0]) for field in (OFFSET, SIZE))
    data = shards[entry.get(SHARD, [0])[0]]
    if start + size > len(data) or size != math.prod(shape) * np.dtype(dtype).itemsize:
        raise ValueError("a variable lies outside the data")
    return np.frombuffer(data, dtype, count=math.prod(shape), offset=start).reshape(shape)


def _table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a sorted table."""
    footer = data[-FOOTER_LENGTH:]
    if len(footer) < FOOTER_LENGTH or footer[-8:] != MAGIC:
        raise ValueError("no table")
    _, position = _handle(footer, 0)  # of the meta index, which holds nothing here
    index, _ = _handle(footer, position)
    for _, value in _block(data, *index):
        handle, _ = _handle(value, 0)
        yield from _block(data, *handle)


def _handle(data: bytes, position: int) -> tuple[tuple[int, int], int]:
    offset, position = varint(data, position)
    size, position = varint(data, position)
    return (offset, size), position


def _block(data: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block; a key shares its start with the one before it."""
    block = data[offset : offset + size]
    if len(data) < offset + size + TRAILER_LENGTH or data[offset + size] != 0:
        raise ValueError("a block is cut off or compressed")
    restarts = int.from_bytes(block[-4:], "little")
    end, position, key = len(block) - 4 * (restarts + 1), 0, b""
    while position < end:
        shared, position = varint(block, position)
        unshared, position = varint(block, position)
        length, position = varint(block, position)
        key = key[:shared] + block[position : position + unshared]
        position += unshared
        yield key, block[position : position + length]
        position += length
