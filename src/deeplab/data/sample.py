"""A sample: where one photo and its labels lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from deeplab.data.drawing import Drawing
from deeplab.files import File

__all__ = ["Part", "Sample"]

Part: TypeAlias = File | Drawing
"""What a sample is read from."""


@dataclass(frozen=True)
class Sample:
    """One image file and, where it is labelled, its mask: a file of labels, or regions to draw them from."""

    image: File
    mask: Part | None = None
