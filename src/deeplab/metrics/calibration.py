"""Whether a model is right as often as it says: calibration of the largest probability.

Guo, Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks, ICML 2017 (arXiv:1706.04599), section 2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deeplab.errors import DataError
from deeplab.metrics.confusion import ratio

__all__ = ["BINS", "calibration_counts", "calibration_error", "reliability"]

BINS = 15
"""Of equal width, as in the paper's tables."""


def calibration_counts(
    probabilities: NDArray[np.float32], target: NDArray[np.integer], *, ignore_index: int = 255, bins: int = BINS
) -> NDArray[np.float64]:
    """Pixels by the probability of their predicted class; counts of images add up.

    Args:
        probabilities: float32 (num_classes, H, W), each pixel's sum 1.
        target: True classes, integer (H, W); pixels equal to `ignore_index` are not counted.

    Returns:
        float64 (bins, 3): pixels, the sum of their probabilities, and how many are right.

    Raises:
        DataError: The shapes differ.
    """
    if probabilities.shape[1:] != target.shape:
        raise DataError(
            f"probabilities of shape {probabilities.shape} for a truth of shape {target.shape}; give equal sizes"
        )
    known = target != ignore_index
    confidence = probabilities.max(axis=0)[known]
    right = probabilities.argmax(axis=0)[known] == target[known]
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)  # a bin ends with its upper limit
    columns = (None, confidence, right)
    return np.stack([np.bincount(place, weights=each, minlength=bins) for each in columns], axis=1).astype(np.float64)


def reliability(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """The reliability diagram: (bins, 2), the mean probability and the share that is right; nan in an empty bin."""
    return ratio(counts[:, 1:], np.broadcast_to(counts[:, :1], (len(counts), 2)))


def calibration_error(counts: NDArray[np.float64]) -> float:
    """The expected calibration error (ECE, equation 3), 0 .. 1: the mean distance of the two; nan without a pixel."""
    return float(ratio(np.abs(counts[:, 2] - counts[:, 1]).sum(keepdims=True), counts[:, 0].sum(keepdims=True))[0])
