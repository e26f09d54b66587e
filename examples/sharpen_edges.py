"""A photo's classes before and after a dense CRF, side by side.

python examples/sharpen_edges.py photo.jpg --output before_after.png
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from PIL import Image

import deeplab


def sharpen_edges(photo: str | Path, *, crf: str, long_side: int | None = None) -> Image.Image:
    """The classes over the `photo` as the network sees them, and beside it sharpened by the `crf`."""
    segmenter = deeplab.load("objects", long_side=long_side)
    before, after = (result.overlay(opacity=0.5) for result in (segmenter(photo), segmenter(photo, crf=crf)))
    joined = Image.new("RGB", (before.width + 4 + after.width, before.height), "white")
    joined.paste(before, (0, 0))
    joined.paste(after, (before.width + 4, 0))
    return joined


def main() -> None:
    parser = argparse.ArgumentParser(description="A photo's classes before and after a dense CRF.")
    parser.add_argument("photo", type=Path)
    parser.add_argument("--output", type=Path, default=Path("before_after.png"))
    parser.add_argument("--crf", default="v2-resnet101", help="a preset, or a .json file of deeplab tune-crf")
    parser.add_argument("--long-side", type=int, help="longer side that the network sees, in pixels")
    options = vars(parser.parse_args())
    output = options.pop("output")
    try:
        sharpen_edges(**options).save(output)
    except (OSError, LookupError, ValueError) as error:  # each DeepLabError is one of them
        sys.exit(f"sharpen_edges: {error}")
    print(f"written: {output}")


if __name__ == "__main__":
    main()
