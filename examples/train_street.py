"""Train the shipped model `street` as it was trained.

    python examples/train_street.py --shared ../shared --output runs/street --seed 0

The start is `cityscapes`, which ships too: `deeplab train` finds the classes of CamVid among its own, puts it into a
DeepLab v3+ whose decoder passes on what it computes, and goes on from there.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import deeplab

TRAINING = {
    "model": "deeplabv3plus",
    "backbone": "mobilenet_edgetpu",
    "weights": "cityscapes",
    "train_splits": ("train", "val"),
    "val_split": "none",
    "long_side": 960,
    "scale": (0.4, 1.3),
    "crop_size": (353, 353),
    "epochs": 36,
    "batch_size": 8,
    "learning_rate": 4e-4,
    "head_multiplier": 3.0,
    "loss": "cross_entropy+lovasz",
    "class_weights": "none",
    "rare_crops": 0.0,
    "half": True,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder with data/camvid")
    parser.add_argument("--output", type=Path, default=Path("runs/street"))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    data = arguments.shared / "data/camvid"
    best = deeplab.train(data, output=arguments.output, seed=arguments.seed, **TRAINING)
    print(f"the best model is {best}; next: deeplab evaluate {best} {data} --split test")


if __name__ == "__main__":
    main()
