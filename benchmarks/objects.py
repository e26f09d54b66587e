"""The shipped `objects` beside Google's official 8-bit model that it comes from.

    pip install -e '.[bench]'
    python benchmarks/objects.py --shared ../shared

On the photos that took no part in the training: every other one of coco128 (voc21 masks) and the test split of
Clothing Co-Parsing (person or not). Both see every image in turn: ours through `deeplab.load`, the official one
through the TensorFlow Lite interpreter, letterboxed to 513 x 513 as its README says and its label map brought to the
image's size by the nearest pixel.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import deeplab
from deeplab._optional import require
from deeplab.data import load_sample, open_dataset
from deeplab.images import resize_image
from deeplab.metrics import confusion_matrix, iou

SIZE, GREY, PERSON = 513, 128, 15

Labels = NDArray[np.uint8 | np.uint16]


def official(weights: Path, *, threads: int) -> Callable[[NDArray[np.uint8]], Labels]:
    """The official model: image uint8 (H, W, 3) -> labels (H, W)."""
    interpreter = require("ai_edge_litert.interpreter", extra="bench").Interpreter(str(weights), num_threads=threads)
    interpreter.allocate_tensors()
    source, result = (get()[0]["index"] for get in (interpreter.get_input_details, interpreter.get_output_details))

    def segment(image: NDArray[np.uint8]) -> Labels:
        scale = SIZE / max(image.shape)
        height, width = (max(1, round(side * scale)) for side in image.shape[:2])
        square = np.full((SIZE, SIZE, 3), GREY, np.uint8)
        square[:height, :width] = resize_image(image, (height, width))
        interpreter.set_tensor(source, square[None])
        interpreter.invoke()
        labels = interpreter.get_tensor(result)[0, :height, :width].astype(np.uint8)
        rows, columns = (
            ((np.arange(new) + 0.5) * old / new).astype(int)
            for new, old in zip(image.shape[:2], labels.shape, strict=True)
        )
        enlarged: Labels = labels[np.ix_(rows, columns)]
        return enlarged

    return segment


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--model", default="objects")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    weights = arguments.shared / "weights/deeplabv3_mnv2_pascal_quant.tflite"
    systems = {
        arguments.model: deeplab.load(arguments.model).labels,
        "official 8-bit": official(weights, threads=arguments.threads),
    }
    report: dict[str, dict[str, Any]] = {}
    for name, held_out, people_only in (
        ("coco128_voc21", slice(1, None, 2), False),
        ("clothing_ccp", slice(None), True),
    ):
        dataset = open_dataset(arguments.shared / "data" / name)
        classes = 2 if people_only else len(dataset.classes)
        counts = {system: np.zeros((classes, classes), np.int64) for system in systems}
        same = total = 0
        samples = dataset.split("test")[held_out]
        for sample in samples:
            image, target = load_sample(sample, dataset)
            found = {system: segment(image) for system, segment in systems.items()}
            first, second = found.values()
            same, total = same + int((first == second).sum()), total + first.size
            if people_only:
                target = (target > 0).astype(np.uint8)
                found = {system: (labels == PERSON).astype(np.uint8) for system, labels in found.items()}
            for system, labels in found.items():
                counts[system] += confusion_matrix(labels, target, num_classes=classes)
        report[name] = {"images": len(samples), "agreement": round(same / total, 4)}
        for system, count in counts.items():
            present = count.sum(axis=1) > 0
            report[name][system] = {
                "miou": round(float(np.nanmean(iou(count))), 4),
                "miou of classes present": round(float(np.nanmean(iou(count)[present])), 4),
            } | ({"person iou": round(float(iou(count)[1]), 4)} if people_only else {})
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
