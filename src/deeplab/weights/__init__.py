"""Trained weights: the models that ship inside the package, converters from other systems, transfer to a new model."""

from deeplab.weights._shipped import find, shipped
from deeplab.weights.transfer import Transfer, transfer

__all__ = ["Transfer", "find", "shipped", "transfer"]
