"""Blur everything behind a person, as a camera with a wide aperture does.

python examples/blur_background.py photo.jpg --output blurred.png
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from PIL import Image, ImageFilter

import deeplab

PORTRAIT = 321
"""Longer side, in pixels, at which the network sees a portrait."""


def blur_background(
    photo: str | Path, *, subject: str = "person", radius: float = 10.0, long_side: int = PORTRAIT
) -> Image.Image:
    """The `photo` with all but the pixels of the class `subject` blurred; `radius` in pixels.

    At a small `long_side` a subject that fills the photo is as large as those that the model learnt from.
    """
    result = deeplab.load("objects", long_side=long_side)(photo)
    mask = result.mask(subject)  # bool (H, W)
    if not mask.any():
        raise ValueError(f"{photo}: no {subject} in it; found: {', '.join(result.areas())}")
    sharp = Image.fromarray(result.image)
    front = Image.fromarray(mask).convert("L").filter(ImageFilter.GaussianBlur(1.5))  # a soft edge
    behind = sharp.copy()
    behind.putalpha(Image.fromarray(~mask).convert("L"))  # so that the subject does not bleed into it
    blurred = behind.convert("RGBa").filter(ImageFilter.GaussianBlur(radius)).convert("RGBA").convert("RGB")
    return Image.composite(sharp, blurred, front)


def main() -> None:
    parser = argparse.ArgumentParser(description="Blur everything behind a person.")
    parser.add_argument("photo", type=Path)
    parser.add_argument("--output", type=Path, default=Path("blurred.png"))
    parser.add_argument("--subject", default="person", help="the class that stays sharp")
    parser.add_argument("--radius", type=float, default=10.0, help="strength of the blur in pixels")
    parser.add_argument("--long-side", type=int, default=PORTRAIT, help="pixels; more for people who are far away")
    options = vars(parser.parse_args())
    output = options.pop("output")
    try:
        blur_background(**options).save(output)
    except (OSError, LookupError, ValueError) as error:  # each DeepLabError is one of them
        sys.exit(f"blur_background: {error}")
    print(f"written: {output}")


if __name__ == "__main__":
    main()
