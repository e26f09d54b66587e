"""The shipped `cityscapes` beside Google's official 8-bit model that it is, on streets that neither has seen.

    pip install -e '.[bench]'
    python benchmarks/cityscapes.py --shared ../shared --split test

CamVid has other classes: each of its 11 is compared with those of Cityscapes that mean the same, and what is seen as
another class counts as wrong. Both see every image in turn: ours through `deeplab.load`, the official one through the
TensorFlow Lite interpreter, letterboxed to 513 x 513.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from objects import official

import deeplab
from deeplab.data import load_sample, open_dataset
from deeplab.metrics import confusion_matrix, iou
from deeplab.weights import known_classes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--split", default="val")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    segmenter = deeplab.load("cityscapes")
    weights = arguments.shared / "weights/deeplab_mobilenet_edgetpu_slim_cityscapes_quant.tflite"
    systems = {"cityscapes": segmenter.labels, "official 8-bit": official(weights, threads=arguments.threads)}

    dataset = open_dataset(arguments.shared / "data/camvid")
    groups = {name: (name, "bicycle") if name == "Bicyclist" else (name,) for name in dataset.classes}
    known = known_classes(groups, segmenter.classes)
    other = len(dataset.classes)
    theirs = np.full(len(segmenter.classes), other, np.uint8)
    for name, rows in known.items():
        theirs[rows] = dataset.classes.index(name)

    counts = {system: np.zeros((other + 1, other + 1), np.int64) for system in systems}
    same = total = 0
    for sample in dataset.split(arguments.split):
        image, target = load_sample(sample, dataset)
        found = {system: segment(image) for system, segment in systems.items()}
        first, second = found.values()
        same, total = same + int((first == second).sum()), total + first.size
        for system, labels in found.items():
            counts[system] += confusion_matrix(theirs[labels], target, num_classes=other + 1)
    report: dict[str, object] = {"images": len(dataset.split(arguments.split)), "agreement": round(same / total, 4)}
    for system, count in counts.items():
        ious = iou(count)[:other]
        report[system] = {
            "miou": round(float(np.nanmean(ious)), 4),
            **dict(zip(dataset.classes, ious.round(3).tolist(), strict=True)),
        }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
