"""Train the shipped model `objects` as it was trained.

    python examples/train_objects.py --shared ../shared --output runs/objects --seed 0

The start is Google's DeepLab v3 on MobileNetV2 for PASCAL VOC (8-bit TensorFlow Lite, Apache-2.0), in float. It is
trained on photos, with their labels where there are any, and everywhere with its own probabilities before the
training (self-distillation), so that it loses what the 8 bits had rounded away and nothing else.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
import torch

import deeplab
from deeplab import checkpoints
from deeplab.data import load_sample, open_dataset
from deeplab.images import color_map, read_image, write_labels
from deeplab.weights.batchnorm import recalibrate_batchnorm
from deeplab.weights.tflite import convert

TRAINING = {
    "model": "deeplabv3",
    "backbone": "mobilenetv2",
    "val_split": "none",
    "long_side": 513,
    "scale": (0.75, 1.5),
    "crop_size": (385, 385),
    "epochs": 3,
    "batch_size": 8,
    "learning_rate": 1e-4,
    "head_multiplier": 1.0,
    "batch_norm": "freeze",
    "distillation": 0.5,
    "half": True,
}

PERSON, IGNORE = 15, 255

COCO_REPEATS = 3
"""The few photos that show all 20 classes, as often as this in an epoch."""


def gather(shared: Path, folder: Path, *, classes: tuple[str, ...]) -> None:
    """Write the training photos in the plain layout: people of CCP train, every other photo of coco128.

    CCP labels the main person only, so the rest of its masks is ignored, and left to the teacher.
    """
    images, masks = (folder / "train" / name for name in ("images", "masks"))
    for path in (images, masks):
        path.mkdir(parents=True)
    palette = color_map(len(classes))
    clothing = open_dataset(shared / "data/clothing_ccp")
    for sample in clothing.split("train"):
        person = np.where(load_sample(sample, clothing)[1] > 0, PERSON, IGNORE).astype(np.uint8)
        shutil.copy(sample.image, images)
        write_labels(masks / f"{sample.image.stem}.png", person, palette=palette)
    everyday = open_dataset(shared / "data/coco128_voc21")
    for sample in everyday.split("test")[::2]:
        labels = load_sample(sample, everyday)[1]
        for copy in range(COCO_REPEATS):
            shutil.copy(sample.image, images / f"{sample.image.stem}_{copy}{sample.image.suffix}")
            write_labels(masks / f"{sample.image.stem}_{copy}.png", labels, palette=palette)
    (folder / "classes.txt").write_text("".join(f"{name}\n" for name in classes), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder with data and weights")
    parser.add_argument("--output", type=Path, default=Path("runs/objects"))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    official = convert(arguments.shared / "weights/deeplabv3_mnv2_pascal_quant.tflite")
    data = arguments.output.with_name(f"{arguments.output.name}-data")
    gather(arguments.shared, data, classes=official.classes)
    photos = [torch.from_numpy(read_image(sample.image)) for sample in open_dataset(data).split("train")[::5]]
    recalibrate_batchnorm(official.model, (photo.permute(2, 0, 1)[None].float() / 255 for photo in photos))
    first = arguments.output.with_name(f"{arguments.output.name}-start.safetensors")
    checkpoints.save(first, official)
    best = deeplab.train(data, weights=first, teacher=first, output=arguments.output, seed=arguments.seed, **TRAINING)
    print(f"the model is {best}; next: python benchmarks/objects.py --model {best}")


if __name__ == "__main__":
    main()
