"""Models by name: those that ship inside the package, a file in `shipped/` each, and those that others published."""

from __future__ import annotations

from pathlib import Path

from deeplab.errors import InputNotFoundError, unknown_name
from deeplab.weight_files import checkpoint_file


def shipped() -> dict[str, Path]:
    """Name -> file of every model that ships, sorted."""
    return {file.stem: file for file in sorted((Path(__file__).parent / "shipped").glob("*.safetensors"))}


def find(name_or_path: str | Path) -> Path:
    """The file of a path, of a shipped name, or of a published one, which is downloaded the first time.

    A TensorFlow checkpoint's name, NAME of NAME.index, is a path too.

    Raises:
        UnknownNameError: No such name.
        InputNotFoundError: No such file, or one that only a person can download.
        DeepLabError: As `deeplab.weights._cache.fetch`.
    """
    path = Path(name_or_path)
    file = checkpoint_file(path)
    if file.is_file():
        return file
    name, ours = path.as_posix(), shipped()
    if name in ours:
        return ours[name]
    from deeplab.weights._cache import fetch  # with all that a download takes
    from deeplab.weights._published import published

    others = published()
    if name in others:
        return fetch(others[name])
    if path.is_dir():
        raise InputNotFoundError(f"{path}: is a folder; wanted a model file, such as {path / 'best.safetensors'}")
    systems = {each.partition("/")[0] for each in others}
    if (path.suffix or len(path.parts) > 1) and not (len(path.parts) == 2 and path.parts[0] in systems):
        raise InputNotFoundError(f"no model file {path}; 'deeplab models' lists the names that need no file")
    raise unknown_name("model", name, [*ours, *others], listed_by="deeplab models")
