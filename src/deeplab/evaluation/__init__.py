"""A segmenter over a data set: figures, a report as a page, and two models compared."""

from deeplab.evaluation.comparison import Comparison
from deeplab.evaluation.evaluate import evaluate
from deeplab.evaluation.page import NAMES, shown, write_comparison, write_page
from deeplab.evaluation.report import Report

__all__ = ["NAMES", "Comparison", "Report", "evaluate", "shown", "write_comparison", "write_page"]
