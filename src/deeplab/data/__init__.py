"""Data sets: what they hold, how a sample is read and checked, how it is varied for training."""

from deeplab.data.dataset import DataSet, Stray, fix_command, is_dataset, load_sample, open_dataset, survey
from deeplab.data.regroup import group_classes, in_words, regroup
from deeplab.data.sample import Sample

__all__ = [
    "DataSet",
    "Sample",
    "Stray",
    "fix_command",
    "group_classes",
    "in_words",
    "is_dataset",
    "load_sample",
    "open_dataset",
    "regroup",
    "survey",
]
