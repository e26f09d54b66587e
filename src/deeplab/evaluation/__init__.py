"""A segmenter over a data set: figures, a report as a page, two models compared, and the CRF that suits it."""

from deeplab.evaluation.comparison import Comparison
from deeplab.evaluation.evaluate import evaluate
from deeplab.evaluation.page import NAMES, shown, write_comparison, write_page
from deeplab.evaluation.parity import Parity, Picture, compare_exported, pictures
from deeplab.evaluation.report import Report
from deeplab.evaluation.tune_crf import CRFReport, Trial, tune_crf

__all__ = [
    "NAMES",
    "CRFReport",
    "Comparison",
    "Parity",
    "Picture",
    "Report",
    "Trial",
    "compare_exported",
    "evaluate",
    "pictures",
    "shown",
    "tune_crf",
    "write_comparison",
    "write_page",
]
