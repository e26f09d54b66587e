"""Eight floats at a time, and memory asked for ahead of its use, in compiled kernels.

The compiler vectorises a loop over channels, but around it checks at every row whether its arrays overlap, and
keeps no sums in registers between rows; and where rows lie far from each other the processor waits for each. With
these a kernel over rows of 8 n channels takes a third of the time. They are for functions under `njit` only, and are
missing where numba is.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from deeplab.kernels._numba import COMPILES

__all__ = [
    "LANES",
    "add",
    "aligned",
    "full",
    "item",
    "keep_above",
    "largest",
    "load",
    "maximum",
    "multiply",
    "multiply_add",
    "power_of_two",
    "prefetch",
    "store",
    "total",
]

LANES = 8
"""Floats in a vector."""

LINE = 64
"""Bytes that the processor fetches at a time."""

add: Any
"""add(a, b), multiply(a, b) and maximum(a, b): of two vectors."""
multiply: Any
maximum: Any
multiply_add: Any
"""multiply_add(a, b, c): a b + c, rounded once where the processor can do that as fast, else twice."""
power_of_two: Any
"""power_of_two(a): 2^a for whole floats from -126 to 127."""
keep_above: Any
"""keep_above(a, b, limit): b where a > limit, else 0; limit is a vector."""
full: Any
"""full(x): a vector of eight times the float32 x."""
item: Any
"""item(values, n): values[n] of a contiguous array of one axis; nothing is checked."""
load: Any
"""load(rows, n, at): the vector rows[n, at : at + 8] of a contiguous float32 matrix; nothing is checked."""
store: Any
"""store(rows, n, at, vector)."""
prefetch: Any
"""prefetch(rows, n, at): have the memory around rows[n, at] at hand soon, of any contiguous matrix."""
total: Any
"""total(vector): the sum of its floats, of pairs of pairs."""
largest: Any
"""largest(vector): the largest of its floats."""


def aligned(rows: int, columns: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """An empty float32 matrix that starts where a fetch does, so that its rows take as few fetches as they can."""
    memory = np.empty(rows * columns + LINE // 4, np.float32)
    start = -memory.ctypes.data % LINE // 4
    return memory[start : start + rows * columns].reshape(rows, columns)


if COMPILES:
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic, models, register_model

    utilities: Any = cgutils  # without types
    VECTOR = ir.VectorType(ir.FloatType(), LANES)
    INT = ir.IntType(32)

    class Vector(types.Type):
        def __init__(self) -> None:
            super().__init__(name="Vector")

    @register_model(Vector)
    class VectorModel(models.PrimitiveModel):
        def __init__(self, manager: Any, kind: Vector) -> None:
            super().__init__(manager, kind, VECTOR)  # type: ignore[no-untyped-call]

    vector = Vector()

    def _address(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        """Of an element, from the matrix, the row and the column."""
        kind, *kinds = signature.args[:3]
        matrix = context.make_array(kind)(context, builder, arguments[0])
        place = [context.cast(builder, index, of, types.intp) for index, of in zip(arguments[1:3], kinds, strict=True)]
        return utilities.get_item_pointer(context, builder, kind, matrix, place, wraparound=False)

    def _shuffled(builder: Any, a: Any, order: list[int]) -> Any:
        return builder.shuffle_vector(
            a, ir.Constant(VECTOR, ir.Undefined), ir.Constant(ir.VectorType(INT, LANES), order)
        )

    def _larger(builder: Any, a: Any, b: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", a, b), a, b)

    def _folded(builder: Any, a: Any, join: Any) -> Any:
        """All floats of a vector joined, halves first."""
        for half in (4, 2, 1):
            a = join(a, _shuffled(builder, a, [(lane + half) % LANES for lane in range(LANES)]))
        return builder.extract_element(a, INT(0))

    @intrinsic
    def load(typing: Any, rows: Any, n: Any, at: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            address = _address(context, builder, signature, arguments)
            value = builder.load(builder.bitcast(address, VECTOR.as_pointer()))
            value.align = 4
            return value

        return vector(rows, n, at), generate

    @intrinsic
    def item(typing: Any, values: Any, n: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kind, of = signature.args
            array = context.make_array(kind)(context, builder, arguments[0])
            place = [context.cast(builder, arguments[1], of, types.intp)]
            return builder.load(utilities.get_item_pointer(context, builder, kind, array, place, wraparound=False))

        return values.dtype(values, n), generate

    @intrinsic
    def store(typing: Any, rows: Any, n: Any, at: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            address = _address(context, builder, signature, arguments)
            builder.store(arguments[3], builder.bitcast(address, VECTOR.as_pointer())).align = 4
            return context.get_dummy_value()

        return types.void(rows, n, at, value), generate

    @intrinsic
    def prefetch(typing: Any, rows: Any, n: Any, at: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            byte = ir.IntType(8).as_pointer()
            kind = ir.FunctionType(ir.VoidType(), [byte, INT, INT, INT])
            function = utilities.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
            address = builder.bitcast(_address(context, builder, signature, arguments), byte)
            builder.call(function, [address, INT(0), INT(3), INT(1)])  # to read, into every cache, data
            return context.get_dummy_value()

        return types.void(rows, n, at), generate

    @intrinsic
    def full(typing: Any, x: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            first = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), arguments[0], INT(0))
            return _shuffled(builder, first, [0] * LANES)

        return vector(types.float32), generate

    @intrinsic
    def add(typing: Any, a: Any, b: Any) -> Any:
        return vector(a, b), lambda context, builder, signature, arguments: builder.fadd(*arguments)

    @intrinsic
    def multiply(typing: Any, a: Any, b: Any) -> Any:
        return vector(a, b), lambda context, builder, signature, arguments: builder.fmul(*arguments)

    @intrinsic
    def multiply_add(typing: Any, a: Any, b: Any, c: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kind = ir.FunctionType(VECTOR, [VECTOR] * 3)
            function = utilities.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{LANES}f32")
            return builder.call(function, arguments)

        return vector(a, b, c), generate

    @intrinsic
    def total(typing: Any, a: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return _folded(builder, arguments[0], builder.fadd)

        return types.float32(a), generate

    @intrinsic
    def largest(typing: Any, a: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return _folded(builder, arguments[0], lambda a, b: _larger(builder, a, b))

        return types.float32(a), generate

    @intrinsic
    def maximum(typing: Any, a: Any, b: Any) -> Any:
        return vector(a, b), lambda context, builder, signature, arguments: _larger(builder, *arguments)

    @intrinsic
    def power_of_two(typing: Any, a: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            whole = ir.VectorType(INT, LANES)
            exponent = builder.add(builder.fptosi(arguments[0], whole), ir.Constant(whole, [127] * LANES))
            return builder.bitcast(builder.shl(exponent, ir.Constant(whole, [23] * LANES)), VECTOR)

        return vector(a), generate

    @intrinsic
    def keep_above(typing: Any, a: Any, b: Any, limit: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            a, b, limit = arguments
            return builder.select(builder.fcmp_ordered(">", a, limit), b, ir.Constant(VECTOR, [0.0] * LANES))

        return vector(a, b, limit), generate
