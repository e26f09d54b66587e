"""From an image to a segmentation: sizes, scales, mirror images, tiles, many files in a row; and why it came out so.

What needs torch is loaded on first use: an exported network segments without it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from deeplab.inference.predictor import Segmenter
from deeplab.inference.read_ahead import read_ahead

if TYPE_CHECKING:
    from deeplab.inference.explanation import Explanation, explain
    from deeplab.inference.explanation_page import write_explanation
    from deeplab.inference.large import Overview, segment_file
    from deeplab.inference.torch_network import pick_device

__all__ = [
    "Explanation",
    "Overview",
    "Segmenter",
    "explain",
    "pick_device",
    "read_ahead",
    "segment_file",
    "write_explanation",
]

_FILES = {
    "Explanation": "explanation",
    "Overview": "large",
    "explain": "explanation",
    "pick_device": "torch_network",
    "segment_file": "large",
    "write_explanation": "explanation_page",
}


def __getattr__(name: str) -> Any:
    if name not in _FILES:
        raise AttributeError(f"module 'deeplab.inference' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"deeplab.inference.{_FILES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
