"""OpenVINO (https://docs.openvino.ai): an .xml file of the graph and a .bin beside it of the weights.

Made of the ONNX graph; opening needs openvino alone. It computes in float32, where the processor has bfloat16 in that
if asked.
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeplab._optional import require
from deeplab.errors import CheckpointError, SettingsError
from deeplab.files import written_together
from deeplab.runtimes._exported import KEY, Description, EngineNetwork, Exported, check_shape, incomplete, threads
from deeplab.runtimes._int8 import Int8
from deeplab.runtimes._onnx_int8 import quantized

__all__ = ["load", "save"]

HINTS = {"float32": "f32", "bfloat16": "bf16"}
"""What OpenVINO calls the precisions."""


def save(path: Path, graph: Any, *, int8: Int8 | None = None) -> None:
    """Write a `Graph` to `path` and the .bin file beside it, with `int8` in 8-bit numbers.

    Raises:
        MissingExtraError: openvino, onnx or onnxscript are not installed.
        SettingsError: No such model can be exported.
        OutputError: The files cannot be written.
    """
    openvino = require("openvino", extra="openvino")
    proto = graph.onnx if int8 is None else quantized(graph.onnx, int8)
    model = openvino.Core().read_model(proto.SerializeToString())
    model.set_rt_info(graph.description().to_json(), KEY)
    with written_together(path) as aside:
        written = aside.with_suffix(".xml")  # in capitals it is refused
        openvino.save_model(model, str(written), compress_to_fp16=False)
        written.replace(aside)


def load(path: Path, *, precision: str = "float32") -> Exported:
    """Open a file that `save` wrote.

    Args:
        precision: Of its products, "float32" or "bfloat16"; the logits are float32.

    Raises:
        MissingExtraError: openvino is not installed.
        CheckpointError: The file is damaged or not ours, or the .bin file is not beside it.
        SettingsError: This processor has no instructions for the precision.
    """
    openvino = require("openvino", extra="openvino")
    if not path.with_suffix(".bin").is_file():
        raise CheckpointError(
            f"{path}: its weights, {path.with_suffix('.bin').name}, are not beside it; copy both files"
        )
    core = openvino.Core()
    if precision == "bfloat16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise SettingsError("precision bfloat16: this processor has no instructions for it; leave it out")
    how = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": HINTS[precision],
        **({"INFERENCE_NUM_THREADS": threads()} if threads() else {}),
    }
    try:
        model = core.read_model(str(path))
        text = model.get_rt_info(KEY).astype(str) if model.has_rt_info(KEY) else None
        inputs = [(each.any_name, each.partial_shape) for each in model.inputs]
        (logits,) = (each for each in model.outputs if "logits" in each.names)
        only_logits = openvino.Model([logits], model.get_parameters())  # the label map is for others
        compiled = core.compile_model(only_logits, "CPU", how)
    except Exception as error:  # of many kinds, all of openvino's own
        raise incomplete(path, "OpenVINO model", error) from error
    description = Description.from_json(text, path)
    check_shape(path, description, _lengths(inputs[0][1]), _lengths(logits.partial_shape))
    alone = Lock()  # the request that holds the tensors is one, whichever thread asks

    def run(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        with alone:
            found: NDArray[np.float32] = compiled(images)[0]  # a copy
        return found

    def run_both(images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.integer]]:
        found = core.compile_model(core.read_model(str(path)), "CPU", how)(images)
        return found["logits"], found["labels"]

    has_labels = len(model.outputs) > 1
    return Exported(
        EngineNetwork(run, description, engine="OpenVINO", path=path, run_both=run_both if has_labels else None)
    )


def _lengths(shape: Any) -> list[Any]:
    """Numbers, None for any."""
    return [each.get_length() if each.is_static else None for each in shape]
