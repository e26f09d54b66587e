"""Figures of merit, from label maps in numpy."""

from deeplab.metrics.confusion import confusion_matrix, iou, mean_accuracy, miou, pixel_accuracy

__all__ = ["confusion_matrix", "iou", "mean_accuracy", "miou", "pixel_accuracy"]
