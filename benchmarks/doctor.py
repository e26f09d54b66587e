"""How long the doctor takes for many images, and what bounds it.

    python benchmarks/doctor.py --images 10000
    taskset -c 0,1 python benchmarks/doctor.py --images 10000      # on two cores

It draws pairs of a JPEG photo and a PNG mask of 512 x 512 pixels and of five classes into --folder (once; they take
0.1 MB a pair), then examines them, first with nothing remembered, then again. `seconds` are of the clock; `cpu
seconds` are of this process, all threads together; one core waits for the other where their ratio is below the number
of cores and nothing else runs (`load`: of the whole machine in the minute before). The parts are of 200 pairs, one
after the other on one core.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deeplab._machine import cores
from deeplab.data import open_dataset
from deeplab.data.doctor import examine
from deeplab.data.doctor.duplicates import SIDE, alike, fingerprint
from deeplab.images import read_header, read_labels, read_small
from deeplab.kernels.label_map import measure

LENGTH, CLASSES = 512, 5


def draw(folder: Path, number: int) -> None:
    """Write one pair, unless it is there."""
    photo, mask = (folder / kind / f"{number:05}.{suffix}" for kind, suffix in (("images", "jpg"), ("masks", "png")))
    if mask.exists():
        return
    generator = np.random.default_rng(number)
    colors = _enlarged(generator.integers(0, 255, (20, 20, 3), dtype=np.uint8))
    noise = generator.integers(-20, 20, (LENGTH, LENGTH, 1), dtype=np.int16)
    Image.fromarray((colors + noise).clip(0, 255).astype(np.uint8)).save(photo, quality=90)
    labels = _enlarged(generator.integers(0, 255, (14, 14), dtype=np.uint8)) // (256 // CLASSES + 1)
    Image.fromarray(labels).save(mask)


def _enlarged(small: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.array(Image.fromarray(small).resize((LENGTH, LENGTH), Image.Resampling.BICUBIC))


def timed(function: Callable[..., Any], *arguments: Any) -> tuple[float, float, Any]:
    """Seconds of the clock, of the processor, and the result."""
    clock, processor = time.perf_counter(), time.process_time()
    result = function(*arguments)
    return time.perf_counter() - clock, time.process_time() - processor, result


def parts(root: Path) -> dict[str, float]:
    """Milliseconds of the processor of each part of the work for one pair."""
    dataset = open_dataset(root)
    samples = dataset.split("train")[:200]
    pictures = [read_small(sample.image, (SIDE, SIDE))[1] for sample in samples]
    maps = [read_labels(sample.mask) for sample in samples if isinstance(sample.mask, Path)]
    measure(maps[0])  # compiles
    work: dict[str, Callable[[], object]] = {
        "read image": lambda: [read_small(sample.image, (SIDE, SIDE)) for sample in samples],
        "fingerprint": lambda: [fingerprint(picture) for picture in pictures],
        "read mask": lambda: [
            (read_header(sample.mask), read_labels(sample.mask)) for sample in samples if isinstance(sample.mask, Path)
        ],
        "count labels and objects": lambda: [measure(labels) for labels in maps],
    }
    return {name: round(1000 * timed(function)[1] / len(samples), 2) for name, function in work.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, default=Path("doctor_data"))
    arguments = parser.parse_args()
    root = arguments.folder / str(arguments.images)
    for kind in ("images", "masks"):
        (root / "train" / kind).mkdir(parents=True, exist_ok=True)
    (root / "classes.txt").write_text("".join(f"class {letter}\n" for letter in "abcdefgh"[:CLASSES]))
    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(lambda number: draw(root / "train", number), range(arguments.images)))

    print(json.dumps({"milliseconds for one pair": parts(root)}))
    with TemporaryDirectory() as cache:
        os.environ["DEEPLAB_CACHE"] = cache
        for what in ("first", "again"):
            load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
            clock, processor, diagnosis = timed(lambda: examine(open_dataset(root)))
            figures = {
                "run": what,
                "images": arguments.images,
                "cores": cores(),
                "seconds": round(clock, 1),
                "cpu seconds": round(processor, 1),
                "load": round(load, 1),
                "findings": [finding.kind for finding in diagnosis.findings],
            }
            print(json.dumps(figures), flush=True)
    examined = diagnosis.evidence.examined
    prints, splits = [item.facts.image.fingerprint for item in examined], [item.split for item in examined]
    clock, _, pairs = timed(lambda: list(alike(prints, splits)))
    print(json.dumps({"comparing all images, seconds": round(clock, 2), "alike": len(pairs)}))


if __name__ == "__main__":
    main()
