"""Trained weights: the models that ship inside the package, converters from other systems, transfer to a new model."""

from deeplab.weights._shipped import find, shipped
from deeplab.weights._sources import convert, sources, start_from
from deeplab.weights.transfer import Transfer, transfer

__all__ = ["Transfer", "convert", "find", "shipped", "sources", "start_from", "transfer"]
