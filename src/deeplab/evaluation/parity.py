"""An exported network beside the model that it was made from, on the same images."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeplab.errors import CheckpointError
from deeplab.evaluation.picture import Picture
from deeplab.images import resize_image
from deeplab.inference import Segmenter
from deeplab.metrics import confusion_matrix, miou
from deeplab.runtimes import EngineNetwork

__all__ = ["Parity", "compare_exported", "label_map_agreement"]

ROUNDING = 1e-4
"""Logits count as equal that differ by so much of the range of all: two programs interpolate at places that float32
rounds. In 8 bits many are equal."""


@dataclass(frozen=True)
class Parity:
    """How far the exported network is from its model; times are medians of one image, from pixels to labels."""

    images: int
    logits: float
    """Largest difference, over the standard deviation of the model's logits."""
    probabilities: float
    """Largest difference, 0 .. 1."""
    agreement: float
    """Share of the pixels of equal labels."""
    miou: tuple[float, float] | None
    """Of the model and of the exported network, where there are masks."""
    milliseconds: tuple[float, float]
    bound: float
    """Least agreement that counts as the same."""
    label_map: float | None = None
    """As `label_map_agreement` has it, of a file with a label map inside."""

    @property
    def holds(self) -> bool:
        return self.agreement >= self.bound

    def check(self, what: str) -> None:
        """Raise CheckpointError unless it holds; `what` names the file."""
        if not self.holds:
            raise CheckpointError(
                f"{what}: {self.agreement:.3%} of the labels are those of the model, below {self.bound:.3%}; nothing "
                "is written; a lower --agreement allows it"
            )
        if self.label_map is not None and self.label_map < 1:
            raise CheckpointError(
                f"{what}: its label map has the classes of its own logits in {self.label_map:.5%} of the pixels, not "
                "in all; nothing is written; leave out --labels, and make the labels of the logits"
            )


def compare_exported(
    segmenter: Segmenter,
    exported: Segmenter,
    images: Sequence[Picture],
    *,
    bound: float,
    on_image: Callable[[], None] = lambda: None,
) -> Parity:
    """Segment the images by both.

    Args:
        exported: Used like `segmenter`.
        images: At least one.
        bound: Of the result.
        on_image: Called after each.

    Raises:
        DeepLabError: As the segmenters.
    """
    num_classes = len(segmenter.classes)
    segmenters = (segmenter, exported)
    counts = [np.zeros((num_classes, num_classes), np.int64) for _ in segmenters]
    seconds: tuple[list[float], list[float]] = ([], [])
    logits = probabilities = 0.0
    equal = pixels = 0
    for number, picture in enumerate(images):
        image, found = picture.image, []
        for each, times in zip(segmenters, seconds, strict=True):
            if number == 0:
                each(image)  # the first run of an engine prepares it
            start = time.perf_counter()
            found.append(each(image))
            times.append(time.perf_counter() - start)
        logits = max(logits, _logits_difference(segmenter, exported, image))
        first, second = found
        probabilities = max(probabilities, float(np.abs(first.probabilities - second.probabilities).max()))
        equal += int((first.labels == second.labels).sum())
        pixels += first.labels.size
        if picture.mask is not None:
            for count, result in zip(counts, found, strict=True):
                count += confusion_matrix(
                    result.labels, picture.mask, num_classes=num_classes, ignore_index=picture.ignore_index
                )
        on_image()
    theirs, ours = (1000 * float(np.median(times)) for times in seconds)
    return Parity(
        images=len(images),
        logits=logits,
        probabilities=probabilities,
        agreement=equal / pixels,
        miou=(miou(counts[0]), miou(counts[1])) if counts[0].any() else None,
        milliseconds=(theirs, ours),
        bound=bound,
    )


def label_map_agreement(network: EngineNetwork, image: NDArray[np.uint8]) -> float:
    """Share of the pixels where the label map inside a file has the class of the file's own logits, or an equal one.

    Args:
        network: Of a file that has a label map.
        image: uint8 (H, W, 3) RGB, as the network sees it.
    """
    import torch

    from deeplab.layers import resize

    assert network.run_both is not None
    shown = network.description.padded(image)
    height, width = shown.shape[1:3]
    logits, (labels,) = network.run_both(shown)
    grid = network.grid_size((height, width))
    scores = resize(torch.from_numpy(logits), grid, align_corners=network.align_corners)[0, :, :height, :width].numpy()
    classes = np.arange(len(scores))[:, np.newaxis, np.newaxis]
    theirs = np.where(classes == labels, scores, -np.inf).max(axis=0)  # of a label that is no class, -inf
    return float((scores.max(axis=0) - theirs <= ROUNDING * np.ptp(logits)).mean())


def _logits_difference(segmenter: Segmenter, exported: Segmenter, image: NDArray[np.uint8]) -> float:
    seen = resize_image(image, segmenter.seen_size(image.shape[:2]))[np.newaxis]
    first, second = (each.network.coarse_logits(seen) for each in (segmenter, exported))
    return float(np.abs(first - second).max()) / max(float(first.std()), 1e-12)
