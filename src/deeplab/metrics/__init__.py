"""Figures of merit, from label maps in numpy."""

from deeplab.metrics.bootstrap import Interval, interval, paired_difference
from deeplab.metrics.boundary import boundary_f_score, boundary_iou, class_ratios, mean_class_ratio, trimap_confusion
from deeplab.metrics.confusion import confusion_matrix, iou, mean_accuracy, miou, pixel_accuracy

__all__ = [
    "Interval",
    "boundary_f_score",
    "boundary_iou",
    "class_ratios",
    "confusion_matrix",
    "interval",
    "iou",
    "mean_accuracy",
    "mean_class_ratio",
    "miou",
    "paired_difference",
    "pixel_accuracy",
    "trimap_confusion",
]
