"""Models in the formats of inference engines: a public file is a format, whose `save` writes and `load` opens it.

Opening needs the engine alone, no torch.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeplab.errors import InputNotFoundError, SettingsError, unknown_name
from deeplab.runtimes._exported import Exported
from deeplab.settings import EXPORT_SUFFIXES

if TYPE_CHECKING:
    from deeplab.runtimes.graph import Graph

__all__ = ["Exported", "is_exported", "load", "save"]


def is_exported(path: str | Path) -> bool:
    """Whether a file of this name is of one of the formats."""
    return Path(path).suffix.lower() in EXPORT_SUFFIXES.values()


def save(path: Path, graph: Graph, *, format: str) -> None:
    """Write a network to `path`.

    Raises:
        UnknownNameError: No such format.
        MissingExtraError: What writes it is not installed.
        SettingsError: The format cannot hold such a network.
        OutputError: The file cannot be written.
    """
    if format not in EXPORT_SUFFIXES:
        raise unknown_name("format", format, EXPORT_SUFFIXES)
    _module(format).save(path, graph)


def load(path: str | Path, *, device: str = "auto") -> Exported:
    """Open an exported file of any of the formats.

    Raises:
        InputNotFoundError: There is no such file.
        MissingExtraError: The engine is not installed.
        CheckpointError: It is damaged, or `deeplab export` did not write it.
        SettingsError: The engine has no such device here.
    """
    path = Path(path)
    if not path.is_file():
        raise InputNotFoundError(f"no exported file {path}; 'deeplab export' writes one")
    format = next(name for name, suffix in EXPORT_SUFFIXES.items() if suffix == path.suffix.lower())
    if device not in ("auto", "cpu"):
        raise SettingsError(f"device: {format} files run on cpu here, got '{device}'; leave it out")
    exported: Exported = _module(format).load(path)
    return exported


def _module(format: str) -> Any:
    return importlib.import_module(f"deeplab.runtimes.{format.replace('-', '_')}")
