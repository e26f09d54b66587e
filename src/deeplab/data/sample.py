"""A sample: where one photo and its labels lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Sample"]


@dataclass(frozen=True)
class Sample:
    """One image file and, where it is labelled, its mask file."""

    image: Path
    mask: Path | None = None
