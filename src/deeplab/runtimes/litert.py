"""LiteRT (https://ai.google.dev/edge/litert), which was TensorFlow Lite: the format of phones and small computers.

Opening needs ai-edge-litert alone. A file takes images of one size, and its logits have their channels last.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeplab._machine import cores
from deeplab._optional import require
from deeplab.errors import SettingsError
from deeplab.files import written_aside
from deeplab.runtimes._exported import KEY, Description, EngineNetwork, Exported, check_shape, incomplete, threads
from deeplab.runtimes._int8 import Int8

__all__ = ["load", "save"]


def save(path: Path, graph: Any, *, int8: Int8 | None = None) -> None:
    """Write a `Graph` of a fixed size, with `int8` in 8-bit numbers.

    Raises:
        MissingExtraError: ai-edge-litert is not installed.
        SettingsError: No such model can be exported, or it takes images of any size.
        OutputError: The file cannot be written.
    """
    from deeplab.runtimes._tflite import to_tflite

    if graph.fixed_size is None:
        raise SettingsError("litert files take images of one size; name it with --fixed-size HEIGHT,WIDTH")
    metadata = {KEY: graph.description().to_json()}
    content = to_tflite(graph.program, outputs=graph.outputs, metadata=metadata, int8=int8)
    with written_aside(path) as aside:
        aside.write_bytes(content)


def load(path: Path) -> Exported:
    """Open a file that `save` wrote.

    Raises:
        MissingExtraError: ai-edge-litert is not installed.
        CheckpointError: The file is damaged or not ours.
    """
    engine = require("ai_edge_litert.interpreter", extra="litert")
    content = path.read_bytes()
    try:
        with _quiet():
            interpreter = engine.Interpreter(model_content=content, num_threads=threads() or cores())
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise incomplete(path, "LiteRT file", error) from error
    description = Description.from_json(_metadata(content).get(KEY), path)
    (image,), (logits, *labels) = interpreter.get_input_details(), interpreter.get_output_details()
    count, height, width, channels = logits["shape"].tolist()
    check_shape(path, description, image["shape"].tolist(), (count, channels, height, width))

    alone = Lock()  # the tensors are those of the interpreter, whichever thread asks

    def outputs(images: NDArray[np.uint8]) -> tuple[Any, ...]:
        with alone:
            interpreter.set_tensor(image["index"], images)
            interpreter.invoke()
            found = interpreter.get_tensor(logits["index"]), *(interpreter.get_tensor(each["index"]) for each in labels)
        return found[0].transpose(0, 3, 1, 2), *found[1:]

    def run(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = outputs(images)[0]
        return found

    def run_both(images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.integer]]:
        found, label_map = outputs(images)
        return found, label_map

    return Exported(EngineNetwork(run, description, engine="LiteRT", path=path, run_both=run_both if labels else None))


@contextmanager
def _quiet() -> Iterator[None]:
    """The engine writes what it is made of to standard error, past Python."""
    try:
        kept = os.dup(2)
    except OSError:  # closed, as of a service or a program with windows
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _metadata(content: bytes) -> dict[str, str]:
    """The texts beside the network, by name; the engine has checked that the tables lie within the file."""
    model = require("ai_edge_litert.schema_py_generated", extra="litert").Model.GetRootAs(content)
    items = [model.Metadata(index) for index in range(model.MetadataLength())]
    return {
        item.Name().decode(errors="replace"): model.Buffers(item.Buffer())
        .DataAsNumpy()
        .tobytes()
        .decode(errors="replace")
        for item in items
    }
