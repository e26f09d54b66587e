"""A TensorFlow Lite file (schema version 3, tensorflow/compiler/mlir/lite/schema/schema.fbs) while it is made.

Tensors and operators are lists, as in the file; a tensor is known by its position.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeplab._optional import require

__all__ = ["File", "Operator", "Quantization", "Tensor", "schema", "table"]

ALIGNMENT = 16
"""Bytes; where the numbers of constants begin."""


@dataclass(frozen=True)
class Quantization:
    """Whole numbers that stand for others: (number - zero_point) * scale."""

    scales: tuple[float, ...]
    """One, or one for each channel."""
    zero_point: int = 0
    dimension: int = 0
    """That of the channels."""
    dtype: str = "int8"


@dataclass
class Tensor:
    """What an operator reads or computes."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    values: NDArray[Any] | None = None
    """Of a constant."""
    quantization: Quantization | None = None


@dataclass(frozen=True)
class Operator:
    """Computes one tensor."""

    kind: str
    inputs: tuple[int, ...]
    output: int
    version: int
    """The first of the kind that has what the options and the types ask for."""
    options: Any = None
    """The table of the schema, where the kind has one."""


@dataclass
class File:
    """A graph from one image to its outputs."""

    tensors: list[Tensor] = field(default_factory=list)
    operators: list[Operator] = field(default_factory=list)
    image: int = 0
    outputs: dict[str, int] = field(default_factory=dict)

    def tensor(self, name: str, shape: Sequence[int], dtype: str, *, quantization: Quantization | None = None) -> int:
        self.tensors.append(Tensor(name, tuple(shape), dtype, quantization=quantization))
        return len(self.tensors) - 1

    def constant(self, name: str, values: NDArray[Any], *, quantization: Quantization | None = None) -> int:
        self.tensors.append(Tensor(name, values.shape, values.dtype.name, values, quantization))
        return len(self.tensors) - 1

    def operator(self, kind: str, inputs: Sequence[int], output: int, *, version: int, options: Any = None) -> None:
        self.operators.append(Operator(kind, tuple(inputs), output, version, options))

    def content(self, metadata: Mapping[str, str]) -> bytes:
        """What to write; `metadata`: texts to lie in it as well, by name. Raises MissingExtraError."""
        return _Tables().packed(self, metadata)


def table(kind: str, **fields: Any) -> Any:
    """One of the schema. Raises MissingExtraError."""
    made = getattr(schema(), f"{kind}T")()
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def schema() -> Any:
    """The module of its tables and numbers. Raises MissingExtraError."""
    return require("ai_edge_litert.schema_py_generated", extra="litert")


class _Tables:
    """The file in the words of the schema, where numbers lie apart in buffers, and kinds of operators are listed."""

    def __init__(self) -> None:
        self.codes: dict[tuple[str, int], int] = {}
        """Position by kind and version."""
        self.buffers: list[Any] = [table("Buffer")]  # the first is that of what is computed

    def packed(self, file: File, metadata: Mapping[str, str]) -> bytes:
        flatbuffers = require("flatbuffers", extra="litert")
        names = {tensor: name for name, tensor in file.outputs.items()}
        graph = table(
            "SubGraph",
            tensors=[self.tensor(tensor, names.get(place, tensor.name)) for place, tensor in enumerate(file.tensors)],
            operators=[self.operator(operator) for operator in file.operators],
            inputs=[file.image],
            outputs=list(file.outputs.values()),
        )
        signature = table(
            "SignatureDef",
            signatureKey="serving_default",
            inputs=[table("TensorMap", name="image", tensorIndex=file.image)],
            outputs=[table("TensorMap", name=name, tensorIndex=tensor) for name, tensor in file.outputs.items()],
        )
        model = table(
            "Model",
            version=3,
            operatorCodes=[self.code(*code) for code in self.codes],
            subgraphs=[graph],
            metadata=[
                table("Metadata", name=name, buffer=self.buffer(text.encode())) for name, text in metadata.items()
            ],
            signatureDefs=[signature],
            buffers=self.buffers,
        )
        builder = _aligned(flatbuffers.Builder)(2 * sum(buffer.data.size for buffer in self.buffers[1:]))
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def tensor(self, tensor: Tensor, name: str) -> Any:
        return table(
            "Tensor",
            name=name,
            shape=list(tensor.shape),
            type=getattr(schema().TensorType, tensor.dtype.upper()),
            buffer=0 if tensor.values is None else self.buffer(tensor.values.tobytes()),
            quantization=tensor.quantization and self.quantization(tensor.quantization),
        )

    def quantization(self, quantization: Quantization) -> Any:
        return table(
            "QuantizationParameters",
            scale=list(quantization.scales),
            zeroPoint=[quantization.zero_point] * len(quantization.scales),
            quantizedDimension=quantization.dimension,
        )

    def operator(self, operator: Operator) -> Any:
        code = self.codes.setdefault((operator.kind, operator.version), len(self.codes))
        made = table("Operator", opcodeIndex=code, inputs=list(operator.inputs), outputs=[operator.output])
        if operator.options is not None:
            kind_of_options = type(operator.options).__name__.removesuffix("T")
            made.builtinOptionsType = getattr(schema().BuiltinOptions, kind_of_options)
            made.builtinOptions = operator.options
        return made

    def code(self, kind: str, version: int) -> Any:
        number = getattr(schema().BuiltinOperator, kind)
        return table("OperatorCode", builtinCode=number, deprecatedBuiltinCode=min(number, 127), version=version)

    def buffer(self, content: bytes) -> int:
        self.buffers.append(table("Buffer", data=np.frombuffer(content, np.uint8)))
        return len(self.buffers) - 1


def _aligned(builder: Any) -> Any:
    class Aligned(builder):  # type: ignore[misc]
        """Puts lists of bytes, which are numbers, where the schema wants them; the generated code does not."""

        def CreateNumpyVector(self, values: NDArray[Any]) -> Any:
            self.Prep(ALIGNMENT, values.nbytes)
            return super().CreateNumpyVector(values)

    return Aligned
