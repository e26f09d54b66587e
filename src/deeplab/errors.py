"""The exception tree: each error is one clear line, and a subclass of the builtin that it is."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DeepLabError(Exception):
    """Base of every error that a user can cause; its text says what was wanted, what came, and the way out."""


class SettingsError(DeepLabError, ValueError):
    """An option has a value that cannot work."""


class UnknownNameError(DeepLabError, LookupError):
    """A name that is not in the catalogue."""


class ImageError(DeepLabError, ValueError):
    """An image or mask that cannot be read or used."""


class DataError(DeepLabError, ValueError):
    """A data set that cannot be used as it is."""


class CheckpointError(DeepLabError, ValueError):
    """A model file that cannot be read or does not fit."""


class TrainingError(DeepLabError, RuntimeError):
    """A training run that cannot go on."""


class MissingExtraError(DeepLabError, ImportError):
    """An optional package that is not installed."""


class InputNotFoundError(DeepLabError, FileNotFoundError):
    """An input that does not exist."""


class DownloadError(DeepLabError, OSError):
    """A file that cannot be fetched from where its publisher keeps it."""


class OutputError(DeepLabError, OSError):
    """An output that cannot be written."""


def unknown_name(kind: str, name: str, known: Iterable[str], *, listed_by: str | None = None) -> UnknownNameError:
    """The error for a `name` that is none of the `known` names of this `kind`, with the nearest ones.

    Args:
        listed_by: The command that lists them, named where none is near and they are too many for a line.
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=3)
    every = f"'{listed_by}' lists them" if listed_by else f"there are {', '.join(known) or 'none'}"
    hint = f"did you mean {', '.join(near)}?" if near else every
    return UnknownNameError(f"no {kind} '{name}'; {hint}")
