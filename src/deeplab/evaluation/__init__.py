"""A segmenter over a data set: figures, a report as a page, two models compared, the CRF that suits it; its speed."""

from deeplab.evaluation.benchmark import Benchmark, benchmark
from deeplab.evaluation.comparison import Comparison
from deeplab.evaluation.engines import make_ready
from deeplab.evaluation.evaluate import check_classes, check_same_classes, evaluate
from deeplab.evaluation.exporting import export_checkpoint, export_unproven
from deeplab.evaluation.growth import Growth, draw_growth, measure_growth
from deeplab.evaluation.page import NAMES, shown, write_comparison, write_page
from deeplab.evaluation.parity import Parity, compare_exported
from deeplab.evaluation.picture import Picture, example_picture, pictures
from deeplab.evaluation.report import Report
from deeplab.evaluation.timing import Timing, float32_peak, time_models
from deeplab.evaluation.tune_crf import CRFReport, Trial, tune_crf

__all__ = [
    "NAMES",
    "Benchmark",
    "CRFReport",
    "Comparison",
    "Growth",
    "Parity",
    "Picture",
    "Report",
    "Timing",
    "Trial",
    "benchmark",
    "check_classes",
    "check_same_classes",
    "compare_exported",
    "draw_growth",
    "evaluate",
    "example_picture",
    "export_checkpoint",
    "export_unproven",
    "float32_peak",
    "make_ready",
    "measure_growth",
    "pictures",
    "shown",
    "time_models",
    "tune_crf",
    "write_comparison",
    "write_page",
]
