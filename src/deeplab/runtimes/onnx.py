"""ONNX (https://onnx.ai), run by onnxruntime: the format that other languages read.

Written by torch's exporter, which needs onnx and onnxscript; opening needs onnxruntime alone.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeplab._optional import require
from deeplab.errors import CheckpointError, SettingsError
from deeplab.files import cache_folder, written_aside
from deeplab.runtimes._exported import (
    KEY,
    Description,
    EngineNetwork,
    Exported,
    check_shape,
    incomplete,
    reason,
    threads,
)
from deeplab.runtimes._int8 import Int8
from deeplab.runtimes._onnx_int8 import quantized

__all__ = ["load", "save", "to_onnx"]

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
"""What onnxruntime calls the devices."""

OPSET = 18
"""Of 2022; what the exporter is written for."""


def save(path: Path, graph: Any, *, int8: Int8 | None = None) -> None:
    """Write a `Graph`, with `int8` in 8-bit numbers.

    Raises:
        MissingExtraError: onnx or onnxscript are not installed.
        SettingsError: No such model can be exported.
        OutputError: The file cannot be written.
    """
    content = (graph.onnx if int8 is None else quantized(graph.onnx, int8)).SerializeToString()
    with written_aside(path) as aside:
        aside.write_bytes(content)


def to_onnx(graph: Any) -> Any:
    """The `Graph` as an `onnx.ModelProto`, with its description in the metadata. Raises as `save`."""
    onnx = require("onnx", extra="onnx")
    require("onnxscript", extra="onnx")
    import torch

    description = graph.description()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter about its own parts
        program = torch.onnx.export(
            graph.program,
            dynamo=True,
            verbose=False,
            input_names=["image"],
            output_names=graph.outputs,
            opset_version=OPSET,
        )
    assert program is not None
    proto = program.model_proto
    del proto.metadata_props[:]
    for node in proto.graph.node:
        del node.metadata_props[:]  # what the exporter notes of its way, more than half of a small file
    onnx.helper.set_model_props(proto, {KEY: description.to_json()})
    return proto


def load(path: Path, *, device: str = "cpu") -> Exported:
    """Open a file that `save` wrote.

    Args:
        device: "cpu", "cuda", "cuda:N"; "tensorrt" or "tensorrt:N" for a network of one size on that GPU, which
            TensorRT compiles at the first image, for minutes, and then finds in the cache folder.

    Raises:
        MissingExtraError: onnxruntime is not installed.
        CheckpointError: The file is damaged or not ours.
        SettingsError: onnxruntime cannot use this device, or TensorRT is to run a network of images of any size.
    """
    runtime = require("onnxruntime", extra="onnx")
    options = runtime.SessionOptions()
    options.log_severity_level = 3  # errors; they are raised as well
    options.intra_op_num_threads = threads()
    kind, _, number = device.partition(":")
    if kind not in PROVIDERS:
        raise SettingsError(f"device: onnx files run on cpu, cuda or tensorrt, got '{device}'; leave it out")
    provider = PROVIDERS[kind]
    if provider not in runtime.get_available_providers():
        raise _unusable(device, "the installed onnxruntime is not for it")
    engines = cache_folder() / "tensorrt"
    on_gpu = {"device_id": number} if number else {}
    chosen: list[Any] = [(provider, on_gpu) if number else provider]
    if kind == "tensorrt":  # what it has no operator for is left to CUDA
        compiled = {"trt_engine_cache_enable": True, "trt_engine_cache_path": str(engines)}
        chosen = [(provider, on_gpu | compiled), (PROVIDERS["cuda"], on_gpu)]
    try:
        if kind == "tensorrt":
            engines.mkdir(parents=True, exist_ok=True)  # TensorRT makes no folder within one that is not there
        session = runtime.InferenceSession(str(path), options, providers=chosen)
    except Exception as error:  # of many kinds, all of onnxruntime's own
        if kind != "cpu":
            load(path)  # where a damaged file is told
            raise SettingsError(
                f"device {device}: onnxruntime cannot use it ({reason(error)}); choose another, or --device cpu"
            ) from error
        raise incomplete(path, "ONNX file", error) from error
    if session.get_providers()[0] != provider:  # it falls back in silence
        raise _unusable(device, "onnxruntime finds none, or not the libraries for it")
    description = Description.from_json(session.get_modelmeta().custom_metadata_map.get(KEY), path)
    if kind == "tensorrt" and description.fixed_size is None:  # it would compile anew for every size
        raise SettingsError(
            f"device {device}: {path} takes images of any size and TensorRT those of one; "
            "export the model with --fixed-size HEIGHT,WIDTH, or take --device cuda"
        )
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if [each.name for each in inputs] != ["image"] or outputs[0].name != "logits":
        raise CheckpointError(f"{path}: wanted one input 'image' and an output 'logits'; export it again")
    check_shape(path, description, inputs[0].shape, outputs[0].shape)

    def run(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = session.run(["logits"], {"image": images})[0]
        return logits

    def run_both(images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.integer]]:
        logits, labels = session.run(["logits", "labels"], {"image": images})
        return logits, labels

    return Exported(
        EngineNetwork(
            run,
            description,
            engine="ONNX",
            path=path,
            device=device.replace("tensorrt", "cuda"),
            run_both=run_both if len(outputs) > 1 else None,
        )
    )


def _unusable(device: str, reason: str) -> SettingsError:
    return SettingsError(f"device {device}: {reason}; run: pip install onnxruntime-gpu, or leave --device out")
