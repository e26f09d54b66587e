"""Data sets: what they hold, how a sample is read and checked, how it is varied for training."""

from deeplab.data.dataset import DataSet, load_sample, open_dataset
from deeplab.data.sample import Sample

__all__ = ["DataSet", "Sample", "load_sample", "open_dataset"]
