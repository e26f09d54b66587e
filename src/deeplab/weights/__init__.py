"""Trained weights: models that ship inside the package, checkpoints that others published, converters from other
systems, transfer to a new model.

Each name is loaded on first use, so that listing the names imports no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deeplab.weights._cache import cached
    from deeplab.weights._comparison import Agreement, LayerDifference, compare
    from deeplab.weights._published import Published, published
    from deeplab.weights._shipped import find, shipped
    from deeplab.weights._source import Conversion
    from deeplab.weights._sources import convert, sources
    from deeplab.weights._start import start_from
    from deeplab.weights._transfer import Transfer, known_classes, reclass, transfer

__all__ = [
    "Agreement",
    "Conversion",
    "LayerDifference",
    "Published",
    "Transfer",
    "cached",
    "compare",
    "convert",
    "find",
    "known_classes",
    "published",
    "reclass",
    "shipped",
    "sources",
    "start_from",
    "transfer",
]

_FILES = {
    "Agreement": "_comparison",
    "Conversion": "_source",
    "LayerDifference": "_comparison",
    "Published": "_published",
    "Transfer": "_transfer",
    "cached": "_cache",
    "compare": "_comparison",
    "convert": "_sources",
    "find": "_shipped",
    "known_classes": "_transfer",
    "published": "_published",
    "reclass": "_transfer",
    "shipped": "_shipped",
    "sources": "_sources",
    "start_from": "_start",
    "transfer": "_transfer",
}


def __getattr__(name: str) -> Any:
    if name not in _FILES:
        raise AttributeError(f"module 'deeplab.weights' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"deeplab.weights.{_FILES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
