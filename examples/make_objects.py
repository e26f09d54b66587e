"""Make the shipped model `objects` from Google's official 8-bit one.

python examples/make_objects.py --shared ../shared --output objects.safetensors
"""

from __future__ import annotations

import argparse
from pathlib import Path

from deeplab import checkpoints
from deeplab.weights.tflite import convert


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder with weights/*.tflite")
    parser.add_argument("--output", type=Path, default=Path("objects.safetensors"))
    arguments = parser.parse_args()
    official = convert(arguments.shared / "weights/deeplabv3_mnv2_pascal_quant.tflite")
    checkpoints.save(arguments.output, official, half=True)
    print(f"written: {arguments.output}")


if __name__ == "__main__":
    main()
