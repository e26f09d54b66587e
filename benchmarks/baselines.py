"""What is reached without a network: the commonest class, and the class that suits a pixel's colour and place.

    python benchmarks/baselines.py ../shared/data/camvid ../shared/data/dubai_aerial --split test

The second is naive Bayes (Duda and Hart 1973): the probability of a class is that of its colour, averaged over 5 x 5
pixels and in 16 steps a band, times that of its place, in a grid of 16 x 16 over the image, times its share. The counts
are those of all training pixels. `deeplab train` on the same data should be far above.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from rich.progress import track

from deeplab.data import DataSet, load_sample, open_dataset
from deeplab.metrics import confusion_matrix, interval, miou, pixel_accuracy

STEPS, GRID = 16, 16
"""Of a band, and of an image's side."""

Rows = NDArray[np.int64]


def colors_and_places(image: NDArray[np.uint8]) -> tuple[Rows, Rows]:
    """The number of each pixel's colour and of its place, both (height * width,)."""
    smooth = np.asarray(Image.fromarray(image).filter(ImageFilter.BoxBlur(2))).astype(np.int64) * STEPS // 256
    rows, columns = (np.arange(side) * GRID // side for side in image.shape[:2])
    color = (smooth[..., 0] * STEPS + smooth[..., 1]) * STEPS + smooth[..., 2]
    return color.ravel(), (rows[:, None] * GRID + columns).ravel()


def learn(dataset: DataSet) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Logarithms of the probabilities of classes, (classes,), of colours and of places in each, (values, classes)."""
    classes = len(dataset.classes)
    colors, places = (np.ones((values, classes)) for values in (STEPS**3, GRID**2))
    for sample in track(dataset.split("train"), description=f"{dataset.root.name}, train"):
        image, target = load_sample(sample, dataset)
        counted = target.ravel() != dataset.ignore_index
        label = target.ravel()[counted]
        for counts, values in zip((colors, places), colors_and_places(image), strict=True):
            np.add.at(counts, (values[counted], label), 1)
    shares = places.sum(axis=0)
    return np.log(shares / shares.sum()), np.log(colors / colors.sum(axis=0)), np.log(places / shares)


def measure(dataset: DataSet, split: str) -> dict[str, NDArray[np.int64]]:
    """The confusion of every image of the split, (images, classes, classes), by system."""
    shares, colors, places = learn(dataset)
    counts: dict[str, list[NDArray[np.int64]]] = {"commonest class": [], "colour and place": []}
    for sample in track(dataset.split(split), description=f"{dataset.root.name}, {split}"):
        image, target = load_sample(sample, dataset)
        color, place = colors_and_places(image)
        found = {
            "commonest class": np.full(target.shape, shares.argmax()),
            "colour and place": (shares + colors[color] + places[place]).argmax(axis=1).reshape(target.shape),
        }
        for system, labels in found.items():
            counts[system].append(confusion_matrix(labels.astype(target.dtype), target, num_classes=len(shares)))
    return {system: np.stack(matrices) for system, matrices in counts.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, nargs="+", help="folders of data sets")
    parser.add_argument("--split", default="test")
    arguments = parser.parse_args()
    rows = ["| data | images | system | mean IoU | pixel accuracy |", "|---|---|---|---|---|"]
    for root in arguments.data:
        dataset = open_dataset(root)
        for system, counts in measure(dataset, arguments.split).items():
            figures = f"{interval(counts, miou)} | {interval(counts, pixel_accuracy)}"
            rows.append(f"| {root.name} {arguments.split} | {len(counts)} | {system} | {figures} |")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
