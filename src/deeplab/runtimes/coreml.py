"""Core ML (https://developer.apple.com/documentation/coreml), for apps on Apple's systems: an .mlpackage folder.

Written with coremltools on any system; only macOS has what runs it. A file takes images of one size, as pictures, which
is how Core ML knows uint8 and what Vision and Xcode hand over. It computes in float32.
"""

from __future__ import annotations

import io
import logging
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeplab._optional import require
from deeplab.errors import SettingsError
from deeplab.files import folder_written_aside
from deeplab.images import as_pillow
from deeplab.runtimes._exported import KEY, Description, EngineNetwork, Exported, check_shape, incomplete, reason
from deeplab.runtimes._int8 import Int8

__all__ = ["load", "save"]

PARTS = (
    "Manifest.json",
    "Data/com.apple.CoreML/model.mlmodel",
    "Data/com.apple.CoreML/weights/weight.bin",
)
"""The files of a package."""


def save(path: Path, graph: Any, *, int8: Int8 | None = None) -> None:
    """Write a `Graph` of a fixed size.

    Raises:
        MissingExtraError: coremltools is not installed.
        SettingsError: No such model can be exported, it takes images of any size, or it is to have 8-bit numbers.
        OutputError: The file cannot be written, or one is there.
    """
    if int8 is not None:
        raise SettingsError("int8 is for onnx, openvino and litert, not for coreml; leave one out")
    if graph.fixed_size is None:
        raise SettingsError("coreml files take images of one size; name it with --fixed-size HEIGHT,WIDTH")
    description = graph.description()
    with _quiet():
        model = _converted(graph)
    model.user_defined_metadata[KEY] = description.to_json()
    with folder_written_aside(path) as aside, tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "package.mlpackage"
        model.save(str(package))
        for file in PARTS:  # beside them lie notes for debugging; some of its folders nobody else could read
            (aside / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(package / file, aside / file)


def load(path: Path) -> Exported:
    """Open a folder that `save` wrote, on macOS.

    Raises:
        SettingsError: This is another system.
        MissingExtraError: coremltools is not installed.
        CheckpointError: The folder is damaged or not ours.
    """
    if sys.platform != "darwin":
        raise SettingsError(f"{path}: Core ML runs on macOS only; export the model as onnx for this system")
    with _quiet():
        coremltools = require("coremltools", extra="coreml")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)  # that Core ML cannot run it
            model = coremltools.models.MLModel(str(path), compute_units=coremltools.ComputeUnit.CPU_ONLY)
    except Exception as error:  # of many kinds
        raise incomplete(path, "Core ML package", error) from error
    description = Description.from_json(model.user_defined_metadata.get(KEY), path)
    features = model.get_spec().description
    image = features.input[0].type.imageType
    logits = features.output[0].type.multiArrayType
    channels = 3 if image.colorSpace == image.RGB else 0
    check_shape(path, description, (1, image.height, image.width, channels), list(logits.shape))
    alone = Lock()  # a model of Core ML is for one thread at a time

    def outputs(images: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        with alone:
            found: dict[str, NDArray[Any]] = model.predict({"image": as_pillow(images[0])})
        return found

    def run(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return outputs(images)["logits"]

    def run_both(images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.integer]]:
        found = outputs(images)
        return found["logits"], found["labels"]

    has_labels = len(features.output) > 1
    return Exported(
        EngineNetwork(run, description, engine="Core ML", path=path, run_both=run_both if has_labels else None)
    )


def _converted(graph: Any) -> Any:
    """The `Graph` as a `coremltools.models.MLModel`. Raises as `save`."""
    coremltools = require("coremltools", extra="coreml")
    import torch

    class Planes(torch.nn.Module):
        """Shape: float32 (1, 3, H, W) in 0 .. 255, as Core ML hands a picture over -> the outputs"""

        def __init__(self) -> None:
            super().__init__()
            self.network = graph.network()

        def forward(self, image: torch.Tensor) -> Any:
            return self.network(image.permute(0, 2, 3, 1))

    shape = (1, 3, *graph.fixed_size)
    program = torch.export.export(Planes(), (torch.zeros(shape),)).run_decompositions({})
    for node in list(program.graph.nodes):
        if node.target is torch.ops.aten.alias.default:  # a slice of everything, which coremltools does not know
            node.replace_all_uses_with(node.args[0])
            program.graph.erase_node(node)
    try:
        return coremltools.convert(
            program,
            inputs=[coremltools.ImageType(name="image", shape=shape, color_layout=coremltools.colorlayout.RGB)],
            outputs=[coremltools.TensorType(name=name) for name in graph.outputs],
            convert_to="mlprogram",
            compute_precision=coremltools.precision.FLOAT32,
            skip_model_load=True,
        )
    except (NotImplementedError, ValueError, RuntimeError) as error:
        raise SettingsError(f"coreml cannot hold this model ({reason(error)}); choose another format") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """coremltools shows how far it is, and warns of versions of PyTorch that are newer than itself."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
