"""Whether a dense CRF helps the models that ship, on images that took no part in their training: docs/crf.md.

    python benchmarks/crf_quality.py --shared ../shared
    python benchmarks/crf_quality.py --shared ../shared --tasks street --crf street_crf.json
    python benchmarks/crf_quality.py --shared ../shared --tasks people --why

The CRF is the best of several on some images, by mIoU, and is measured on others, with 95 % intervals over images.
With --why nothing is measured: on the images of the choice, other unaries and kernels tell what the gain depends on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

import deeplab
from deeplab import metrics
from deeplab.crf import PRESETS, DenseCRF, PairwiseKernel, open_crf
from deeplab.data import DataSet, Sample, load_sample, open_dataset
from deeplab.layers import resize

Floats = NDArray[np.float32]
Labels = NDArray[Any]
Counts = dict[str, NDArray[Any]]
"""By measure: what is counted in one image, or in each."""
System = Callable[[NDArray[np.uint8], Labels, Floats], Labels]
"""Image, truth and the network's probabilities -> labels; only what explains looks at the truth."""


class Task(NamedTuple):
    model: str
    data: str
    choice: tuple[str, slice]
    """Split and part of it that the CRF is chosen on."""
    measured: tuple[str, slice]
    subject: str | None = None
    """The class that the truth tells from everything else; None: the classes are the model's."""


TASKS = {
    "objects": Task("objects", "coco128_voc21", ("test", slice(0, None, 2)), ("test", slice(1, None, 2))),
    "people": Task("objects", "clothing_ccp", ("val", slice(None)), ("test", slice(None)), subject="person"),
    "street": Task("street", "camvid", ("val", slice(None)), ("test", slice(None))),
}
"""The second half of coco128 took no part in the training of `objects`, not even without its labels."""

MEASURES: dict[str, tuple[Callable[..., NDArray[Any]], Callable[[NDArray[Any]], float]]] = {
    "mIoU": (metrics.confusion_matrix, metrics.miou),
    "boundary F": (metrics.boundary_f_score, metrics.mean_class_ratio),
    "boundary IoU": (metrics.boundary_iou, metrics.mean_class_ratio),
    "mIoU within 5 pixels": (partial(metrics.trimap_confusion, widths=(5,)), lambda bands: metrics.miou(bands[0])),
}
"""How an image is counted, and the figure of the counts of all."""

STRIDE = 16
"""Image side over the side of the networks' deepest features."""


def network(image: NDArray[np.uint8], target: Labels, probabilities: Floats) -> Labels:
    labels: Labels = probabilities.argmax(axis=0)
    return labels


def sharpened(crf: DenseCRF, image: NDArray[np.uint8], target: Labels, probabilities: Floats) -> Labels:
    labels: Labels = crf(image, probabilities).argmax(axis=0)
    return labels


def explanations(best: DenseCRF) -> dict[str, System]:
    """What tells why: other temperatures, other kernels, and a network that knows everything but the borders."""

    def at(temperature: float, image: NDArray[np.uint8], target: Labels, probabilities: Floats) -> Labels:
        scores = np.log(np.maximum(probabilities, 1e-5)) / temperature
        labels: Labels = best.from_logits(image, scores).argmax(axis=0)
        return labels

    def knowing(system: System, image: NDArray[np.uint8], target: Labels, probabilities: Floats) -> Labels:
        return system(image, target, coarse_truth(target, len(probabilities)))

    smooth = DenseCRF([PairwiseKernel(weight=3, sigma_xy=3)])
    gentle = DenseCRF([PairwiseKernel(weight=1, sigma_xy=30, sigma_rgb=5), PairwiseKernel(weight=1, sigma_xy=1)])
    return {
        "probabilities sharper, temperature 0.5": partial(at, 0.5),
        "probabilities softer, temperature 2": partial(at, 2.0),
        "smoothness kernel alone, 3, 3": partial(sharpened, smooth),
        "gentle, 1, 30, 5 and 1, 1": partial(sharpened, gentle),
        "coarse truth": partial(knowing, network),
        "coarse truth with the CRF": partial(knowing, partial(sharpened, best)),
    }


def coarse_truth(target: Labels, num_classes: int) -> Floats:
    """The shares of the true classes in squares of the network's stride, interpolated as its scores are."""
    is_class = torch.from_numpy(np.arange(num_classes)[:, None, None] == target)[None].float()
    coarse = F.avg_pool2d(is_class, STRIDE, ceil_mode=True, count_include_pad=False)
    shares: Floats = resize(coarse, target.shape, align_corners=False)[0].numpy()
    return shares


def truth(task: Task, dataset: DataSet, sample: Sample, classes: Sequence[str]) -> tuple[NDArray[np.uint8], Labels]:
    """Image and truth in the classes of the model."""
    image, target = load_sample(sample, dataset)
    if task.subject:
        target = np.where(target > 0, classes.index(task.subject), 0).astype(np.uint8)
    return image, target


def count(task: Task, part: tuple[str, slice], systems: dict[str, System], *, at_most: int | None) -> dict[str, Counts]:
    """By system, what is counted in each image of a part of the data, evenly spread over it if it has more."""
    segmenter, dataset = deeplab.load(task.model), open_dataset(task.data)
    samples = dataset.split(part[0])[part[1]]
    spread = np.linspace(0, len(samples) - 1, min(at_most or len(samples), len(samples))).round().astype(int)
    num_classes = 2 if task.subject else len(segmenter.classes)
    found: dict[str, dict[str, list[NDArray[Any]]]] = {name: {each: [] for each in MEASURES} for name in systems}
    for index in spread:
        image, target = truth(task, dataset, samples[index], segmenter.classes)
        probabilities = segmenter(image).probabilities
        for name, system in systems.items():
            labels, true = system(image, target, probabilities), target
            if task.subject:
                labels, true = (each == segmenter.classes.index(task.subject) for each in (labels, target))
            for measure, (counted, _) in MEASURES.items():
                counts = counted(labels.astype(np.uint8), true.astype(np.uint8), num_classes=num_classes)
                found[name][measure].append(counts)
    return {name: {each: np.stack(counts) for each, counts in of.items()} for name, of in found.items()}


def compared(without: Counts, others: dict[str, Counts]) -> dict[str, dict[str, list[float]]]:
    """By measure, the figure without a CRF and the gain of each other system: value, low, high."""
    found = {}
    for measure, (_, statistic) in MEASURES.items():
        found[measure] = {"without": rounded(metrics.interval(without[measure], statistic))}
        for name, of in others.items():
            found[measure][name] = rounded(metrics.paired_difference(without[measure], of[measure], statistic))
    return found


def rounded(figures: metrics.Interval) -> list[float]:
    return [round(figure, 4) for figure in figures]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--crf", nargs="+", default=list(PRESETS), help="presets, or files of deeplab tune-crf")
    parser.add_argument("--choice", type=int, default=16, help="images to choose on")
    parser.add_argument("--measure", type=int, help="images to measure on; all unless given")
    parser.add_argument("--why", action="store_true", help="what the gain depends on, on the images of the choice")
    arguments = parser.parse_args()
    for name in arguments.tasks:
        task = TASKS[name]._replace(data=str(arguments.shared / "data" / TASKS[name].data))
        crfs = {name: open_crf(name) for name in arguments.crf}
        systems: dict[str, System] = {name: partial(sharpened, crf) for name, crf in crfs.items()}
        if arguments.why:
            systems |= explanations(next(iter(crfs.values())))
        chosen_on = count(task, task.choice, {"without": network, **systems}, at_most=arguments.choice)
        gains = compared(chosen_on.pop("without"), chosen_on)
        print(json.dumps({"task": name, "images of the choice": arguments.choice, **gains}), flush=True)
        if arguments.why:
            continue
        best = max(crfs, key=lambda name: gains["mIoU"][name][0])
        measured = count(task, task.measured, {"without": network, best: systems[best]}, at_most=arguments.measure)
        by_class = {system: metrics.iou(of["mIoU"].sum(axis=0)).round(4).tolist() for system, of in measured.items()}
        images = len(measured[best]["mIoU"])
        figures = compared(measured.pop("without"), measured) | {"IoU by class": by_class}
        print(json.dumps({"task": name, "images": images, **figures}), flush=True)


if __name__ == "__main__":
    main()
