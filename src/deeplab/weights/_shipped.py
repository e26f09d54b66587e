"""The models that ship inside the package: a file in `shipped/` is an entry."""

from __future__ import annotations

from pathlib import Path

from deeplab.errors import InputNotFoundError, unknown_name


def shipped() -> dict[str, Path]:
    """Name -> file of every model that ships, sorted."""
    return {file.stem: file for file in sorted((Path(__file__).parent / "shipped").glob("*.safetensors"))}


def find(name_or_path: str | Path) -> Path:
    """The file of a shipped name, or of a path.

    Raises:
        UnknownNameError: No such shipped name.
        InputNotFoundError: No such file.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    known = shipped()
    if str(name_or_path) in known:
        return known[str(name_or_path)]
    if path.is_dir():
        raise InputNotFoundError(f"{path}: is a folder; wanted a model file, such as {path / 'best.safetensors'}")
    if path.suffix or len(path.parts) > 1:
        raise InputNotFoundError(f"no model file {path}; 'deeplab models' lists the names that need no file")
    raise unknown_name("model", str(name_or_path), known)
