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

SAME, WHOLE = 1e-5, 0.01
"""How far two values of filters may be apart, over the largest one, and how far they may be from a multiple of a step,
over the step, having been rounded when they were folded."""

ACTIVATIONS = ("Clip", "Relu")
"""Operators that cut off what an 8-bit number with the range of their result cannot hold anyway."""


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

    An activation right behind one becomes a part of it: its result has the numbers, and not what it is computed from.

    Filters use 7 of the bits: without instructions for it (VNNI), sums of products of 8 bits do not fit into 16. Those
    that had 8 bits when they were trained keep them: rounded anew they would lose more than the few sums that overflow.

    Raises:
        MissingExtraError: onnxruntime or onnx are not installed.
    """
    onnx = require("onnx", extra="onnx")
    quantization = require("onnxruntime.quantization", extra="onnx")
    kept = {f"model.{layer}.weight" for layer in int8.kept}
    rest = [node for node in proto.graph.node if node.op_type == "Conv" and kept.isdisjoint(node.input)]
    if not rest:
        return proto
    own = {each.name: onnx.numpy_helper.to_array(each) for each in proto.graph.initializer}
    steps = {node.input[1]: trained_steps(own[node.input[1]]) for node in rest}
    results = {node.output[0] for node in rest}
    activations = [node for node in proto.graph.node if node.op_type in ACTIVATIONS and node.input[0] in results]
    with tempfile.TemporaryDirectory() as folder, _without_advice():
        plain, path = (str(Path(folder) / name) for name in ("float.onnx", "int8.onnx"))
        onnx.save(proto, plain)  # given as it is, it would be changed
        quantization.quantize_static(
            plain,
            path,
            _reader(quantization, int8.images),
            nodes_to_quantize=[node.name for node in (*rest, *activations)],
            op_types_to_quantize=["Conv", *ACTIVATIONS],
            per_channel=True,
            reduce_range=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            extra_options={
                "TensorQuantOverrides": {
                    name: _overrides(quantization, of) for name, of in steps.items() if of is not None
                }
            },
        )
        return onnx.load(path)


def trained_steps(filters: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """The steps between the values of filters, (out_channels, ...), that had 8 bits when they were trained.

    Such filters have at most 256 values, all of them multiples of one step: numbers of 0 .. 255 with a zero point. Only
    a channel that is more than 127 of these steps away from zero gets a wider one.

    Returns:
        Of each channel, for whole numbers of -127 .. 127; None: they had more bits.
    """
    peak = np.abs(filters).max(initial=0)
    gaps = np.diff(np.unique(filters)) / peak if peak else np.zeros(0)
    gaps = gaps[gaps > SAME]
    if not 1 <= len(gaps) < 256:
        return None
    step = peak / np.rint(1 / gaps.min())
    numbers = filters / step
    if np.abs(numbers - np.rint(numbers)).max() > WHOLE:
        return None
    most = np.abs(numbers).reshape(len(filters), -1).max(axis=1)
    steps: NDArray[np.float32] = (step * np.maximum(most / 127, 1)).astype(np.float32)
    return steps


def _overrides(quantization: Any, steps: NDArray[np.float32]) -> list[dict[str, Any]]:
    """What onnxruntime wants to be told of filters whose steps are known, channel by channel."""
    numbers = {"quant_type": quantization.QuantType.QInt8, "zero_point": np.zeros((), np.int8)}
    return [{**numbers, "scale": step, **({} if channel else {"axis": 0})} for channel, step in enumerate(steps)]


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
