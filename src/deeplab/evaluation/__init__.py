"""A segmenter over a data set: figures and a report, and the CRF that suits it."""

from deeplab.evaluation.evaluate import evaluate
from deeplab.evaluation.report import Report
from deeplab.evaluation.tune_crf import CRFReport, Progress, Trial, tune_crf

__all__ = ["CRFReport", "Progress", "Report", "Trial", "evaluate", "tune_crf"]
