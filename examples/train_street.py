"""Train the shipped model `street` as it was trained.

    python examples/train_street.py --shared ../shared --output runs/street --seed 0

The start is Google's DeepLab v3 for Cityscapes (8-bit TensorFlow Lite, Apache-2.0), put into a DeepLab v3+: its
classes become those of CamVid, and the new decoder starts as the identity, so that training begins with a network
that computes what the official one does. Then `deeplab train` does the rest.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import deeplab
from deeplab import checkpoints
from deeplab.checkpoints import Checkpoint
from deeplab.data import open_dataset
from deeplab.images import read_image
from deeplab.models.deeplabv3plus import DeepLabV3Plus
from deeplab.weights import transfer
from deeplab.weights.batchnorm import recalibrate_batchnorm
from deeplab.weights.tflite import convert

TRAINING = {
    "model": "deeplabv3plus",
    "backbone": "mobilenet_edgetpu",
    "train_splits": ("train", "val"),
    "val_split": "none",
    "long_side": 960,
    "scale": (0.4, 1.3),
    "crop_size": (353, 353),
    "epochs": 36,
    "batch_size": 8,
    "learning_rate": 4e-4,
    "head_multiplier": 3.0,
    "class_weights": "sqrt",
    "rare_crops": 0.0,
    "half": True,
}


def start(weights: Path, data: Path) -> Checkpoint:
    """The official Cityscapes model as a DeepLab v3+ for CamVid, before any training."""
    official = convert(weights).checkpoint
    camvid = open_dataset(data)
    options = {name: value for name, value in official.model.arguments.items() if name != "num_classes"}
    model = deeplab.create_model(
        "deeplabv3plus",
        **options,
        num_classes=len(camvid.classes),
        decoder_channels=official.model.arguments["aspp_channels"],
    )
    transfer(model, official, classes=camvid.groups)
    assert isinstance(model, DeepLabV3Plus)
    model.pass_encoder_on()
    images = [torch.from_numpy(read_image(sample.image)) for sample in camvid.split("train")[::6]]
    recalibrate_batchnorm(model, (image.permute(2, 0, 1)[None].float() / 255 for image in images))
    return Checkpoint(model, camvid.classes, camvid.palette)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder with data/camvid and weights")
    parser.add_argument("--output", type=Path, default=Path("runs/street"))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    data = arguments.shared / "data/camvid"
    weights = arguments.shared / "weights/deeplab_mobilenet_edgetpu_slim_cityscapes_quant.tflite"
    first = arguments.output.with_name(f"{arguments.output.name}-start.safetensors")
    checkpoints.save(first, start(weights, data))
    best = deeplab.train(data, weights=first, output=arguments.output, seed=arguments.seed, **TRAINING)
    print(f"the best model is {best}; next: deeplab evaluate {best} {data} --split test")


if __name__ == "__main__":
    main()
