"""Train the shipped model `objects` as it was trained.

    python examples/train_objects.py --shared ../shared --output runs/objects --seed 0

The start is Google's DeepLab v3 on MobileNetV2 for PASCAL VOC (8-bit TensorFlow Lite, Apache-2.0), in float. It learns
from its own probabilities over several scales and mirror images (self-distillation), so that one look comes to know
what six did, and from the people that Clothing Co-Parsing labels. Of coco128, every other photo is looked at without
its labels, which are kept to choose by, and the rest takes no part: it is for the test.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import deeplab
from deeplab import checkpoints
from deeplab.data import load_sample, open_dataset
from deeplab.images import color_map, read_image, write_labels
from deeplab.weights.tflite import convert

TRAINING: dict[str, Any] = {
    "model": "deeplabv3",
    "backbone": "mobilenetv2",
    "val_split": "none",
    "long_side": 641,
    "scale": (0.75, 1.25),
    "crop_size": (449, 449),
    "epochs": 4,
    "batch_size": 8,
    "learning_rate": 3e-7,
    "head_multiplier": 200.0,
    "batch_norm": "freeze",
    "class_weights": "none",
    "rare_crops": 0.0,
    "half": True,
}

# The backbone is as good as fixed: its COCO pre-training is worth more than what a few hundred photos could teach it.

BACKGROUND, PERSON, IGNORE = 0, 15, 255


def gather(shared: Path, folder: Path, *, start: Path) -> None:
    """Write the training photos in the plain layout: every fourth of CCP's train split, every other one of coco128.

    CCP labels the main person and nothing else: the rest of its masks is background where the start model, which
    knows the other classes, says so too, and is ignored elsewhere.
    """
    segmenter = deeplab.load(start)
    images, masks = (folder / "train" / name for name in ("images", "masks"))
    for path in (images, masks):
        path.mkdir(parents=True)
    palette = color_map(len(segmenter.classes))
    clothing = open_dataset(shared / "data/clothing_ccp")
    for sample in clothing.split("train")[::4]:
        image, labels = load_sample(sample, clothing)
        rest = np.where(segmenter.labels(image) == BACKGROUND, BACKGROUND, IGNORE)
        (images / sample.image.name).write_bytes(sample.image.read_bytes())
        write_labels(
            masks / f"{sample.image.stem}.png", np.where(labels > 0, PERSON, rest).astype(np.uint8), palette=palette
        )
    for sample in open_dataset(shared / "data/coco128_voc21").split("test")[::2]:
        unlabelled = np.full(read_image(sample.image).shape[:2], IGNORE, np.uint8)
        (images / sample.image.name).write_bytes(sample.image.read_bytes())
        write_labels(masks / f"{sample.image.stem}.png", unlabelled, palette=palette)
    (folder / "classes.txt").write_text("".join(f"{name}\n" for name in segmenter.classes), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder with data and weights")
    parser.add_argument("--output", type=Path, default=Path("runs/objects"))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    data, start = (arguments.output.with_name(arguments.output.name + end) for end in ("-data", "-start.safetensors"))
    official = convert(arguments.shared / "weights/deeplabv3_mnv2_pascal_quant.tflite").checkpoint
    larger = replace(official, preprocessing=replace(official.preprocessing, long_side=TRAINING["long_side"]))
    checkpoints.save(start, larger)
    gather(arguments.shared, data, start=start)
    taught = {"teacher": start, "distillation": 0.7}
    best = deeplab.train(data, weights=start, output=arguments.output, seed=arguments.seed, **taught, **TRAINING)
    print(f"the model is {best}; next: python benchmarks/objects.py --model {best}")


if __name__ == "__main__":
    main()
