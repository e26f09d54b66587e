"""Paths in and out: which files an input names, and writing a file so that it is whole or not there."""

from __future__ import annotations

import errno
import glob
import itertools
import os
import re
import shutil
import sys
import tempfile
import uuid
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol, runtime_checkable

from deeplab.errors import DeepLabError, InputNotFoundError, OutputError

__all__ = [
    "File",
    "alone_in",
    "cache_folder",
    "check_writable",
    "clear_aside",
    "distinct_stems",
    "each_once",
    "expand_inputs",
    "folder_written_aside",
    "folders_left_out",
    "written_aside",
    "written_together",
]

ASIDE = re.compile(r"\.[0-9a-f]{32}(\.\w+)?")
"""How what is written aside is named until it is whole."""


@runtime_checkable
class File(Protocol):
    """What is read whole: a path, or what lies inside another file, as the member of an archive does.

    Errors call it by its `str()`.
    """

    @property
    def name(self) -> str: ...

    @property
    def stem(self) -> str:
        """The name without its suffix."""

    def read_bytes(self) -> bytes: ...


def expand_inputs(inputs: Iterable[str | Path], *, suffixes: Collection[str]) -> list[Path]:
    """The files that `inputs` name, each once, in the order given, whichever links lead to them.

    Args:
        inputs: Files, kept whatever their suffix; folders, for their files with one of `suffixes`, sorted,
            without hidden files and sub-folders; and glob patterns, likewise.
        suffixes: Lower-case, with the dot; compared without regard to case.

    Raises:
        InputNotFoundError: An input that does not exist, or a folder or pattern without any such file.
    """
    return each_once(itertools.chain.from_iterable(_expand(str(item), suffixes=suffixes) for item in inputs))


def each_once(paths: Iterable[Path]) -> list[Path]:
    """Each file once, in the order given: of several paths to one file, the first."""
    files: dict[str, Path] = {}
    for path in paths:
        files.setdefault(os.path.realpath(path), path)  # Path.resolve would raise on links that lead to each other
    return list(files.values())


def folders_left_out(folder: Path, *, suffixes: Collection[str]) -> list[Path]:
    """The folders right below `folder` that files with one of `suffixes` lie in or below, but no hidden ones."""
    below = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    up = Path(os.path.realpath(folder))
    below = [path for path in below if not up.is_relative_to(os.path.realpath(path))]  # no links back up
    return sorted(path for path in below if _holds_any(path, suffixes))


def distinct_stems(paths: Iterable[File]) -> list[str]:
    """A name without suffix for what is written of each path: its stem, with _2, _3 ... where that is taken.

    `a/x.jpg, b/x.jpg, X.png` give `x, x_2, X_3`: names that differ in case only are one file on some systems.
    """
    taken: set[str] = set()
    stems = []
    for path in paths:
        numbered = (f"{path.stem}_{number}" for number in itertools.count(2))
        stem = next(stem for stem in itertools.chain([path.stem], numbered) if stem.casefold() not in taken)
        taken.add(stem.casefold())
        stems.append(stem)
    return stems


def cache_folder() -> Path:
    """The folder that DEEPLAB_CACHE names, else `deeplab` in the user's cache folder of this system."""
    given = os.environ.get("DEEPLAB_CACHE")
    if given:
        return Path(given).expanduser().absolute()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "deeplab"


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Make a folder of the cache, and keep other processes out that also come through here.

    Raises:
        OutputError: It cannot be made, or what stands inside the `with` cannot write there.
    """
    from filelock import FileLock

    with _output_errors(folder, "name another folder by DEEPLAB_CACHE"):
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            yield


def check_writable(path: str | Path | None, *, folder: bool = False) -> None:
    """Try whether a file, or a folder of files, can be written, before the work for it is done. Nothing is left behind.

    Args:
        path: None: nothing is asked for.

    Raises:
        OutputError: It cannot be written.
    """
    if path is None:
        return
    target = Path(path).resolve()
    with _output_errors(path, "choose another output place"):
        if target.is_dir() and not folder:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        place = target if folder else target.parent
        while not place.exists():
            place = place.parent
        with tempfile.TemporaryFile(dir=place):
            pass


@contextmanager
def written_aside(path: str | Path) -> Iterator[Path]:
    """A temporary path to write to, which becomes `path` at the end; after a failure `path` is as it was.

    The temporary file is hidden, lies in the same folder (made if missing) and has the same suffix. A link is
    followed, so that the file it leads to is replaced.

    Raises:
        OutputError: The file cannot be written.
    """
    target = Path(path).resolve()
    with _aside(path, suffix=target.suffix) as aside:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        aside.replace(target)


@contextmanager
def folder_written_aside(folder: str | Path) -> Iterator[Path]:
    """As `written_aside` for a folder, which must not be there yet. Raises OutputError."""
    with _aside(folder) as aside:
        aside.mkdir(parents=True)
        yield aside
        aside.rename(Path(folder).resolve())


@contextmanager
def written_together(path: str | Path) -> Iterator[Path]:
    """As `written_aside` for a file that others may stand beside: what is written to the folder of the temporary path,
    which has the name of `path`, comes to lie in the folder of `path`.

    Raises:
        OutputError: The files cannot be written.
    """
    target = Path(path).resolve()
    with _aside(path) as folder:
        folder.mkdir(parents=True)
        yield folder / target.name
        for file in sorted(folder.iterdir()):
            file.replace(target.parent / file.name)


def clear_aside(folder: Path) -> None:
    """Delete what was being written aside in `folder` when its process was killed; nothing may be writing there."""
    for path in folder.iterdir():
        if ASIDE.fullmatch(path.name):
            _delete(path)


@contextmanager
def _aside(path: str | Path, *, suffix: str = "") -> Iterator[Path]:
    """A hidden path beside `path`, at which nothing is left at the end. Raises OutputError."""
    aside = Path(path).resolve().with_name(f".{uuid.uuid4().hex}{suffix}")
    try:
        with _output_errors(path, "choose another output place"):
            yield aside
    finally:
        _delete(aside)


@contextmanager
def _output_errors(path: str | Path, way_out: str) -> Iterator[None]:
    """Turn what the system refuses into an OutputError about `path`."""
    try:
        yield
    except DeepLabError:
        raise  # not about writing: what stood inside the `with` failed
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"{path}: cannot be written ({reason}); {way_out}") from error


def _delete(path: Path) -> None:
    """Delete a file or folder as far as that can be done."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):  # also where it was never made
            path.unlink()


def _expand(item: str, *, suffixes: Collection[str]) -> list[Path]:
    path = Path(item)
    if path.is_dir():
        found = [file for file in path.iterdir() if not file.name.startswith(".")]
    elif path.exists():
        return [path]
    else:
        found = [Path(name) for name in glob.glob(item, recursive=True)]  # noqa: PTH207 (that takes .hidden)
    found = [file for file in found if file.suffix.lower() in suffixes and not file.is_dir()]
    if not found and not path.is_dir() and not glob.has_magic(item):
        raise InputNotFoundError(f"{item}: no such file or folder{_way_out(item)}")
    if not found:
        kind = "folder" if path.is_dir() else "pattern"
        below = path.is_dir() and folders_left_out(path, suffixes=suffixes)
        more = f"; those in the folders below are named by '{glob.escape(str(path))}/**'" if below else ""
        raise InputNotFoundError(f"{item}: no file of this {kind} ends in {', '.join(sorted(suffixes))}{more}")
    found.sort(key=lambda file: (len(file.parts), file.is_symlink(), file))
    return sorted(each_once(found))  # the shortest of a file's names; in one folder its own before those of links


def _way_out(item: str) -> str:
    """What to do where an input that is not there was not meant as a name."""
    if item == "-":
        return "; nothing is read from a pipe, write the image to a file and name that"
    if "://" in item:
        return "; nothing is downloaded, fetch the image and name the file"
    return "; after --, all words are inputs, so put options before it" if item.startswith("--") else ""


def _holds_any(folder: Path, suffixes: Collection[str]) -> bool:
    """Whether a file with one of `suffixes` lies in `folder` or below, without hidden ones."""
    for _, folders, names in os.walk(folder):
        if any(Path(name).suffix.lower() in suffixes and not name.startswith(".") for name in names):
            return True
        folders[:] = [name for name in folders if not name.startswith(".")]
    return False
