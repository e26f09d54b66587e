"""The search for the CRF that suits a model and its images, as in DeepLab v1 (arXiv:1412.7062, section 5.1) and v2.

The appearance kernel is searched coarse to fine on a few images of a validation set, 100 in the papers, with the
smoothness kernel fixed. What was chosen on images looks better on them than on others, so the choice is made on half of
the images and measured on the other half.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from deeplab._progress import Progress, no_progress
from deeplab._words import number_of
from deeplab.crf import PRESETS, DenseCRF, PairwiseKernel
from deeplab.data import DataSet, Sample, load_sample
from deeplab.errors import DataError
from deeplab.evaluation.evaluate import check_classes, check_masks
from deeplab.files import written_aside
from deeplab.inference import Segmenter, read_ahead
from deeplab.metrics import Interval, confusion_matrix, interval, miou, paired_difference

__all__ = ["CRFReport", "Trial", "tune_crf"]

Counts: TypeAlias = NDArray[np.int64]
Kernels: TypeAlias = tuple[PairwiseKernel, ...]

FEWEST = 4
"""Images: two to choose on, and two to measure on, for one has no interval."""


@dataclass(frozen=True)
class Trial:
    """A CRF on the images that the choice is made on."""

    name: str
    """Of a preset, or the numbers of its kernels."""
    kernels: Kernels
    miou: float


@dataclass(frozen=True, eq=False)
class CRFReport:
    """What the search found; mIoU is in 0 .. 1."""

    trials: tuple[Trial, ...]
    """Every CRF that was tried, the best first."""
    miou_of_choice: float
    """Without a CRF, on the images of the trials."""
    images_of_choice: int
    images: int
    """Images that took no part in the choice; the figures below are theirs."""
    without: Interval
    """mIoU without a CRF, and its 95 % interval over images."""
    sharpened: Interval
    """mIoU with the best CRF."""
    gain: Interval
    """The difference, image by image."""

    @property
    def best(self) -> Trial:
        """The CRF that was chosen."""
        return self.trials[0]

    @property
    def crf(self) -> DenseCRF:
        """The same, ready to be used."""
        return DenseCRF(self.best.kernels)

    @property
    def helps(self) -> bool:
        """Whether the gain is above 0 at both ends of its interval."""
        return self.gain.low > 0

    @property
    def verdict(self) -> str:
        """The result in a sentence."""
        if self.helps:
            return "The CRF helps: the interval of the gain is above 0."
        if self.gain.high < 0:
            return "The CRF makes it worse: the interval of the gain is below 0. Leave it out."
        return "It is not shown that the CRF helps: the interval of the gain contains 0. Leaving it out is faster."

    def as_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON; nan is None."""
        return {
            "best": self.best.name,
            "helps": self.helps,
            "verdict": self.verdict,
            "gain": _figures(self.gain),
            "miou": _figures(self.sharpened),
            "miou_without": _figures(self.without),
            "images": self.images,
            "images_of_choice": self.images_of_choice,
            "miou_of_choice": _figure(self.miou_of_choice),
            "trials": [{"crf": trial.name, "miou": _figure(trial.miou)} for trial in self.trials],
        }


def tune_crf(
    segmenter: Segmenter,
    dataset: DataSet,
    *,
    folder: Path,
    split: str,
    limit: int,
    weight: Sequence[float],
    sigma_xy: Sequence[float],
    sigma_rgb: Sequence[float],
    smoothness: tuple[float, float],
    rounds: int,
    progress: Progress = no_progress,
) -> CRFReport:
    """Try every preset and a grid of appearance kernels, then go on around the best.

    A later round changes one number of the best at a time, up and down, by half the step of the round before.

    Args:
        segmenter: Without a CRF.
        folder: Where the network's outputs and the finished trials are kept: what is there already is not computed
            again, also after an interruption.
        limit: The number of images at most, evenly spread over the split. Those of the first half are chosen on:
            images that are alike, as frames of a video, are neighbours, and so stay in the same half.
        weight, sigma_xy, sigma_rgb: Numbers of the appearance kernel in the first round.
        smoothness: Weight and standard deviation in pixels of the other kernel.
        progress: Shows each round.

    Raises:
        DataError: As `evaluate`, or there are fewer than four images.
        ImageError: A file cannot be read, or its CRF takes more memory than there is.
    """
    every = dataset.split(split)
    check_classes(segmenter.classes, dataset)
    check_masks(every, split)
    if len(every) < FEWEST:
        raise DataError(
            f"{dataset.root}: {number_of(len(every), 'image')} in split '{split}'; wanted at least {FEWEST}, "
            "half of them to choose on and half to measure on"
        )
    spread = np.linspace(0, len(every) - 1, min(limit, len(every))).round().astype(int)
    samples = [every[index] for index in spread]
    half = len(samples) // 2
    count = partial(_count, segmenter.remembering(folder), dataset, folder=folder)

    steps = {"weight": _step(weight), "sigma_xy": _step(sigma_xy), "sigma_rgb": _step(sigma_rgb)}
    grid = (_kernels(*numbers, smoothness=smoothness) for numbers in itertools.product(weight, sigma_xy, sigma_rgb))
    candidates = list(dict.fromkeys([None, *PRESETS.values(), *grid]))
    tried: dict[Kernels | None, float] = {}
    for number in range(rounds):
        with progress(f"Round {number + 1} of {rounds}", total=half * len(candidates)) as advance:
            found = count(samples[:half], candidates, advance=advance)
        tried |= {kernels: miou(counts.sum(axis=0)) for kernels, counts in found.items()}
        steps = {name: step / 2 for name, step in steps.items()}
        candidates = [kernels for kernels in _around(_best(tried), steps) if kernels not in tried]
    best = _best(tried)
    with progress("Measuring the best", total=2 * (len(samples) - half)) as advance:
        plain, sharpened = count(samples[half:], [None, best], advance=advance).values()
    without = tried.pop(None)
    trials = [Trial(_name(kernels), kernels, figure) for kernels, figure in tried.items() if kernels is not None]
    return CRFReport(
        trials=tuple(sorted(trials, key=lambda trial: -_order(trial.miou))),
        miou_of_choice=without,
        images_of_choice=half,
        images=len(plain),
        without=interval(plain, miou),
        sharpened=interval(sharpened, miou),
        gain=paired_difference(plain, sharpened, miou),
    )


def _count(
    segmenter: Segmenter,
    dataset: DataSet,
    samples: Sequence[Sample],
    candidates: Sequence[Kernels | None],
    *,
    folder: Path,
    advance: Callable[[], None],
) -> dict[Kernels | None, Counts]:
    """The confusion matrices of each image, (images, num_classes, num_classes), by CRF; None: without."""
    num_classes, ignore_index = len(dataset.classes), dataset.ignore_index
    found: dict[Kernels | None, list[Counts]] = {kernels: [] for kernels in candidates}
    for _, reading in read_ahead(partial(load_sample, dataset=dataset), samples):
        image, target = reading.result()
        result = segmenter(image)
        with _finished(folder, image, target, result.probabilities) as finished:
            for kernels in candidates:
                key = hashlib.sha256(repr(kernels).encode()).hexdigest()
                if key not in finished:
                    labels = result.labels
                    if kernels is not None:
                        labels = DenseCRF(kernels)(image, result.probabilities).argmax(axis=0)
                    finished[key] = confusion_matrix(labels, target, num_classes=num_classes, ignore_index=ignore_index)
                found[kernels].append(finished[key])
                advance()
    return {kernels: np.stack(counts) for kernels, counts in found.items()}


@contextmanager
def _finished(folder: Path, *computed_from: NDArray[Any]) -> Iterator[dict[str, Counts]]:
    """Matrices by CRF of what they are `computed_from`, which names the file; new ones are kept, come what may."""
    content = hashlib.sha256()
    for array in computed_from:
        content.update(f"{array.shape} {array.dtype}".encode() + np.ascontiguousarray(array).tobytes())
    path = folder / f"{content.hexdigest()}.npz"
    finished: dict[str, Counts] = {}
    if path.is_file():
        with np.load(path) as file:
            finished = dict(file)
    before = len(finished)
    try:
        yield finished
    finally:
        if len(finished) > before:
            with written_aside(path) as aside:
                np.savez_compressed(aside, **finished)  # type: ignore[arg-type]


def _kernels(weight: float, sigma_xy: float, sigma_rgb: float, *, smoothness: tuple[float, float]) -> Kernels:
    return (
        PairwiseKernel(weight=weight, sigma_xy=sigma_xy, sigma_rgb=sigma_rgb),
        PairwiseKernel(weight=smoothness[0], sigma_xy=smoothness[1]),
    )


def _step(values: Sequence[float]) -> float:
    """The mean step of a grid; 0 for a single number, which stays."""
    return (max(values) - min(values)) / max(len(values) - 1, 1)


def _best(tried: dict[Kernels | None, float]) -> Kernels:
    return max((kernels for kernels in tried if kernels is not None), key=lambda kernels: _order(tried[kernels]))


def _around(best: Kernels, steps: dict[str, float]) -> Iterator[Kernels]:
    """The best with one number of its appearance kernel, the first one, up or down, above 0."""
    for name, step in steps.items():
        for change in (-step, step):
            number = getattr(best[0], name) + change
            if step > 0 and number > 0:
                yield (replace(best[0], **{name: number}), *best[1:])


def _name(kernels: Kernels) -> str:
    preset = next((name for name, those in PRESETS.items() if those == kernels), None)
    first, second = kernels
    numbers = (first.weight, first.sigma_xy, first.sigma_rgb, second.weight, second.sigma_xy)
    return preset or "weight {:g}, xy {:g}, rgb {:g}, smooth {:g}, xy {:g}".format(*numbers)


def _order(figure: float) -> float:
    return -1 if math.isnan(figure) else figure


def _figures(figures: Interval) -> dict[str, float | None]:
    return {name: _figure(value) for name, value in figures._asdict().items()}


def _figure(value: float) -> float | None:
    return None if math.isnan(value) else value
