"""What `make demo` runs: segment a photo, blur what is behind the person, put the pictures side by side.

The photo is of Grace Hopper, by the US Navy, in the public domain; matplotlib brings it as sample data.

python examples/demo.py --output demo
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from blur_background import PORTRAIT, blur_background
from PIL import Image


def sample_photo() -> Path:
    """The portrait in matplotlib's sample data, found without importing matplotlib."""
    spec = find_spec("matplotlib")
    if spec is None or spec.origin is None:
        sys.exit("demo: matplotlib, which brings the photo, is not installed; run: make demo")
    return Path(spec.origin).parent / "mpl-data" / "sample_data" / "grace_hopper.jpg"


def side_by_side(pictures: Sequence[Path], *, height: int = 400, gap: int = 8) -> Image.Image:
    """The `pictures` in one row on white, each `height` pixels high, `gap` pixels apart."""
    row = [picture.convert("RGB") for picture in map(Image.open, pictures)]
    row = [picture.resize((picture.width * height // picture.height, height)) for picture in row]
    joined = Image.new("RGB", (sum(picture.width + gap for picture in row) - gap, height), "white")
    left = 0
    for picture in row:
        joined.paste(picture, (left, 0))
        left += picture.width + gap
    return joined


def main() -> None:
    parser = argparse.ArgumentParser(description="Segment a photo, and blur what is behind the person.")
    parser.add_argument("--output", type=Path, default=Path("demo"), help="folder for the pictures")
    output = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    photo = output / "grace_hopper.jpg"
    shutil.copyfile(sample_photo(), photo)
    overlay, blurred, joined = (
        output / f"{photo.stem}{ending}.png" for ending in ("_overlay", "_blurred", "_side_by_side")
    )

    print(f"$ python examples/blur_background.py {photo} --output {blurred}", flush=True)
    blur_background(photo).save(blurred)

    arguments = ["segment", str(photo), "--overlay", "--long-side", str(PORTRAIT), "--output", str(output)]
    print(f"$ deeplab {' '.join(arguments)}", flush=True)
    if subprocess.run([sys.executable, "-m", "deeplab", *arguments]).returncode:
        sys.exit("demo: deeplab segment failed; its own line above says why")

    side_by_side([photo, overlay, blurred]).save(joined, optimize=True)
    print("\nThe pictures:")
    for picture, what in {
        photo: "the photo",
        output / f"{photo.stem}.png": "the class of each pixel",
        overlay: "the classes in colour over the photo",
        blurred: "the background blurred",
        joined: "photo, classes and blur side by side",
    }.items():
        print(f"  {picture}  {what}")


if __name__ == "__main__":
    main()
