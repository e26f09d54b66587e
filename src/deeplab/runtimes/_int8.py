"""8-bit numbers in the place of float32, by the ranges seen on images: what they are made from, and in ONNX graphs."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeplab._optional import require
from deeplab.errors import SettingsError

FEWEST = 8
"""Images that ranges are taken from: one image's are not those of others."""


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

    Filters use 7 of the bits: without instructions for it (VNNI), sums of products of 8 bits do not fit into 16.

    Raises:
        MissingExtraError: onnxruntime or onnx are not installed.
    """
    onnx = require("onnx", extra="onnx")
    quantization = require("onnxruntime.quantization", extra="onnx")
    kept = {f"model.{layer}.weight" for layer in int8.kept}
    rest = [node.name for node in proto.graph.node if node.op_type == "Conv" and kept.isdisjoint(node.input)]
    if not rest:
        return proto
    with tempfile.TemporaryDirectory() as folder, _without_advice():
        plain, path = (str(Path(folder) / name) for name in ("float.onnx", "int8.onnx"))
        onnx.save(proto, plain)  # given as it is, it would be changed
        quantization.quantize_static(
            plain,
            path,
            _reader(quantization, int8.images),
            nodes_to_quantize=rest,
            op_types_to_quantize=["Conv"],
            per_channel=True,
            reduce_range=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        return onnx.load(path)


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
