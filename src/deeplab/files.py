"""Paths in and out: which files an input names, and writing a file so that it is whole or not there."""

from __future__ import annotations

import glob
import itertools
import uuid
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from deeplab.errors import DeepLabError, InputNotFoundError, OutputError

__all__ = ["distinct_stems", "expand_inputs", "written_aside"]


def expand_inputs(inputs: Iterable[str | Path], *, suffixes: Collection[str]) -> list[Path]:
    """The files that `inputs` name, each once, in the order given.

    Args:
        inputs: Files, kept whatever their suffix; folders, for their files with one of `suffixes`, sorted,
            without hidden files and sub-folders; and glob patterns, likewise.
        suffixes: Lower-case, with the dot; compared without regard to case.

    Raises:
        InputNotFoundError: An input that does not exist, or a folder or pattern without any such file.
    """
    files = itertools.chain.from_iterable(_expand(str(item), suffixes=suffixes) for item in inputs)
    return list(dict.fromkeys(files))


def distinct_stems(paths: Iterable[Path]) -> list[str]:
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


@contextmanager
def written_aside(path: str | Path) -> Iterator[Path]:
    """A temporary path to write to, which becomes `path` at the end; after a failure `path` is as it was.

    The temporary file is hidden, lies in the same folder (made if missing) and has the same suffix. A link is
    followed, so that the file it leads to is replaced.

    Raises:
        OutputError: The file cannot be written.
    """
    target = Path(path).resolve()
    aside = target.with_name(f".{uuid.uuid4().hex}{target.suffix}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        aside.replace(target)
    except DeepLabError:
        raise  # not about writing: what stood inside the `with` failed
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"{path}: cannot be written ({reason}); choose another output place") from error
    finally:
        with suppress(OSError):  # also where its folder could not be made
            aside.unlink()


def _expand(item: str, *, suffixes: Collection[str]) -> list[Path]:
    path = Path(item)
    if path.is_dir():
        found = [file for file in path.iterdir() if not file.name.startswith(".")]
    elif path.exists():
        return [path]
    else:
        found = [Path(name) for name in glob.glob(item, recursive=True)]  # noqa: PTH207 (that takes .hidden)
    found = sorted(file for file in found if file.suffix.lower() in suffixes and not file.is_dir())
    if not found and not path.is_dir() and not glob.has_magic(item):
        raise InputNotFoundError(f"{item}: no such file or folder")
    if not found:
        kind = "folder" if path.is_dir() else "pattern"
        raise InputNotFoundError(f"{item}: no file of this {kind} ends in {', '.join(sorted(suffixes))}")
    return found
