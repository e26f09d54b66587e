"""A segmenter over a data set: figures and a report."""

from deeplab.evaluation.evaluate import evaluate
from deeplab.evaluation.report import Report

__all__ = ["Report", "evaluate"]
