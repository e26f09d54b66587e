"""Figures of merit, from label maps in numpy."""

from deeplab.metrics.bootstrap import Interval, interval, intervals, paired_difference, paired_differences
from deeplab.metrics.boundary import boundary_f_score, boundary_iou, class_ratios, mean_class_ratio, trimap_confusion
from deeplab.metrics.calibration import calibration_counts, calibration_error, reliability
from deeplab.metrics.confusion import (
    Areas,
    confusion_matrix,
    dice,
    frequency_weighted_iou,
    iou,
    mean_accuracy,
    mean_dice,
    miou,
    pixel_accuracy,
    row_shares,
)
from deeplab.metrics.object_size import OBJECT_SIZES, object_counts, object_recall

__all__ = [
    "OBJECT_SIZES",
    "Areas",
    "Interval",
    "boundary_f_score",
    "boundary_iou",
    "calibration_counts",
    "calibration_error",
    "class_ratios",
    "confusion_matrix",
    "dice",
    "frequency_weighted_iou",
    "interval",
    "intervals",
    "iou",
    "mean_accuracy",
    "mean_class_ratio",
    "mean_dice",
    "miou",
    "object_counts",
    "object_recall",
    "paired_difference",
    "paired_differences",
    "pixel_accuracy",
    "reliability",
    "row_shares",
    "trimap_confusion",
]
