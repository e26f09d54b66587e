"""Models in the formats of inference engines: a public file is a format, whose `save` writes and `load` opens it.

Opening needs the engine alone, no torch.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deeplab.errors import InputNotFoundError, SettingsError, unknown_name
from deeplab.runtimes._exported import EngineNetwork, Exported, Run
from deeplab.runtimes._int8 import Int8
from deeplab.runtimes._ready import ENGINES, Ready, installed_engines
from deeplab.settings import EXPORT_SUFFIXES

if TYPE_CHECKING:
    from deeplab.runtimes.graph import Graph

__all__ = [
    "ENGINES",
    "EngineNetwork",
    "Exported",
    "Int8",
    "Ready",
    "installed_engines",
    "is_exported",
    "less_and_less_int8",
    "load",
    "reference",
    "save",
]

SHARES_KEPT = (1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 3 / 4, 7 / 8)
"""Of the work of the convolutions, what is kept from 8 bits at most: less and less is lost, and less and less saved."""


def is_exported(path: str | Path) -> bool:
    """Whether a file of this name is of one of the formats."""
    return Path(path).suffix.lower() in EXPORT_SUFFIXES.values()


def save(path: Path, graph: Graph, *, format: str, int8: Int8 | None = None) -> None:
    """Write a network to `path`, with `int8` in 8-bit numbers.

    Raises:
        UnknownNameError: No such format.
        MissingExtraError: What writes it is not installed.
        SettingsError: The format cannot hold such a network.
        OutputError: The file cannot be written.
    """
    if format not in EXPORT_SUFFIXES:
        raise unknown_name("format", format, EXPORT_SUFFIXES)
    _module(format).save(path, graph, int8=int8)


def load(path: str | Path, *, device: str = "auto", precision: str = "float32") -> Exported:
    """Open an exported file of any of the formats.

    Args:
        device: "auto" is "cpu"; ONNX files also run on "cuda", "cuda:N" and "tensorrt", where onnxruntime-gpu is
            installed.
        precision: "float32"; of OpenVINO files also "bfloat16".

    Raises:
        InputNotFoundError: There is no such file.
        MissingExtraError: The engine is not installed.
        CheckpointError: It is damaged, or `deeplab export` did not write it.
        SettingsError: The engine has no such device here, does not compute in this precision, or does not run on this
            system.
    """
    path = Path(path)
    format = next(name for name, suffix in EXPORT_SUFFIXES.items() if suffix == path.suffix.lower())
    if not (path.is_dir() if format == "coreml" else path.is_file()):
        raise InputNotFoundError(f"no exported file {path}; 'deeplab export' writes one")
    how = {}
    if device not in ("auto", "cpu"):
        if format != "onnx":
            raise SettingsError(f"device: {format} files run on cpu here, got '{device}'; leave it out")
        how["device"] = device
    if precision != "float32":
        if format != "openvino" or precision != "bfloat16":
            raise SettingsError(
                f"precision: {format} files compute in what they were exported in, and openvino ones in bfloat16 too, "
                f"got '{precision}'; leave it out"
            )
        how["precision"] = precision
    exported: Exported = _module(format).load(path, **how)
    return exported


def reference(graph: Graph, run: Run) -> Exported:
    """The network as it would be used if it were exported, run by something else."""
    return Exported(EngineNetwork(run, graph.description(), engine="PyTorch"))


def less_and_less_int8(graph: Graph, images: Sequence[NDArray[np.uint8]]) -> Iterator[Int8]:
    """All convolutions in 8 bits, then without those that lose the most for their work, until these do most of it.

    Args:
        images: (1, H, W, 3) RGB each, as the network sees them.

    Raises:
        SettingsError: Too few images.
    """
    int8 = Int8(images)
    yield int8
    layers = graph.sensitive_layers(images[:1])
    work = np.cumsum([layer.multiply_adds for layer in layers])
    counts = {int(np.searchsorted(work, share * work[-1], side="right")) for share in SHARES_KEPT}
    for count in sorted(counts - {0}):
        yield int8.keeping(tuple(layer.name for layer in layers[:count]))


def _module(format: str) -> Any:
    return importlib.import_module(f"deeplab.runtimes.{format.replace('-', '_')}")
