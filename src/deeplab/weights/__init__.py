"""Trained weights: the models that ship inside the package, converters from other systems, transfer to a new model."""

from deeplab.weights._comparison import Comparison, LayerDifference, compare
from deeplab.weights._shipped import find, shipped
from deeplab.weights._source import Conversion
from deeplab.weights._sources import convert, sources
from deeplab.weights.transfer import Transfer, transfer

__all__ = [
    "Comparison",
    "Conversion",
    "LayerDifference",
    "Transfer",
    "compare",
    "convert",
    "find",
    "shipped",
    "sources",
    "transfer",
]
