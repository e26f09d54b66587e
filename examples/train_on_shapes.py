"""Train on a data set that the script draws itself: circles and squares.

It shows the layout that `deeplab train` reads, and what a run writes; a few minutes without a GPU.

python examples/train_on_shapes.py --output shapes
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

from PIL import Image, ImageDraw

import deeplab

CLASSES = {"background": (0, 0, 0), "circle": (230, 120, 40), "square": (40, 120, 230)}


def draw(randomness: random.Random, *, side: int = 128) -> tuple[Image.Image, Image.Image]:
    """A drawing of three shapes on grain, and its mask of class numbers."""
    image = Image.effect_noise((side, side), 40).convert("RGB")
    mask = Image.new("L", (side, side))
    for _ in range(3):
        label = randomness.choice((1, 2))
        radius = randomness.randint(side // 10, side // 5)
        left, top = (randomness.randint(0, side - 2 * radius) for _ in "xy")
        box = (left, top, left + 2 * radius, top + 2 * radius)
        colour = tuple(randomness.randint(60, 255) for _ in "rgb")
        for picture, fill in ((image, colour), (mask, label)):
            pencil = ImageDraw.Draw(picture)
            (pencil.ellipse if label == 1 else pencil.rectangle)(box, fill=fill)
    return image, mask


def write_data(folder: Path, *, train: int = 64, val: int = 8) -> None:
    """`folder` in the plain layout: {train,val}/{images,masks} with the same stems, and classes.txt."""
    randomness = random.Random(0)
    for split, count in (("train", train), ("val", val)):
        for kind in ("images", "masks"):
            (folder / split / kind).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            image, mask = draw(randomness)
            image.save(folder / split / "images" / f"{number:03}.png")
            mask.save(folder / split / "masks" / f"{number:03}.png")
    lines = (f"{name} {' '.join(map(str, colour))}\n" for name, colour in CLASSES.items())
    (folder / "classes.txt").write_text("".join(lines), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train on drawings of circles and squares.")
    parser.add_argument("--output", type=Path, default=Path("shapes"))
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()

    data, run = options.output / "data", options.output / "run"
    write_data(data)
    try:
        best = deeplab.train(data, output=run, epochs=options.epochs)
        report = deeplab.evaluate(best, data, split="val")
    except deeplab.DeepLabError as error:
        sys.exit(f"train_on_shapes: {error}")
    print(f"mIoU {report.miou:.3f} on {report.images} drawings that were not trained on; model: {best}")

    unseen, _ = draw(random.Random(1))
    deeplab.load(best)(unseen).overlay().save(options.output / "unseen_overlay.png")
    print(f"a new drawing under its classes: {options.output / 'unseen_overlay.png'}")


if __name__ == "__main__":
    main()
