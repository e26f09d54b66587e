"""The dense CRF beside pydensecrf, in turns, on the same photo and the same scores.

    pip install pydensecrf2
    python benchmarks/dense_crf.py --shared ../shared
    taskset -c 0 python benchmarks/dense_crf.py --shared ../shared      # on one core
    python benchmarks/dense_crf.py --shared ../shared --growth docs/crf-growth.png

Ten iterations, everything included: the lattices, the inference, and the marginals as an array. The scores are those
of ../shared/golden/crf_common.py, random ones that follow the photo's colours. pydensecrf uses one core, ours those
that the process may use. Times are medians; the ratio is the median of the ratios of neighbours in time, so that what
else the machine does touches both alike. `peak GiB` is what the process has held at most so far.

With --growth the photo is mirrored on and on, so that the larger image is as rich as the smaller one, and the times
are drawn over the number of pixels.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeplab._machine import cores
from deeplab._optional import require
from deeplab.crf import DenseCRF, PairwiseKernel
from deeplab.images import mirrored, read_image, resize_image

ITERATIONS = 10

SIZES = {"321x481": (321, 481, 21), "513x513": (513, 513, 21), "1024x2048": (1024, 2048, 19)}
"""Height, width and classes."""

GROWTH = {f"{side}x{side}": (side, side, 21) for side in (181, 256, 362, 512, 724, 1024, 1448)}
"""Each has twice the pixels of the one before."""

Floats = NDArray[np.float32]


def theirs(image: NDArray[np.uint8], unary: Floats, numbers: dict[str, float]) -> Floats:
    """The marginals by pydensecrf, (num_classes, H, W)."""
    height, width = image.shape[:2]
    crf = require("pydensecrf.densecrf", extra="bench").DenseCRF2D(width, height, len(unary))
    crf.setUnaryEnergy(unary.reshape(len(unary), -1))
    crf.addPairwiseBilateral(sxy=numbers["bi_xy_std"], srgb=numbers["bi_rgb_std"], rgbim=image, compat=numbers["bi_w"])
    crf.addPairwiseGaussian(sxy=numbers["pos_xy_std"], compat=numbers["pos_w"])
    return np.array(crf.inference(ITERATIONS), np.float32).reshape(unary.shape)


def ours(image: NDArray[np.uint8], unary: Floats, numbers: dict[str, float]) -> Floats:
    """The same by deeplab."""
    kernels = (
        PairwiseKernel(weight=numbers["bi_w"], sigma_xy=numbers["bi_xy_std"], sigma_rgb=numbers["bi_rgb_std"]),
        PairwiseKernel(weight=numbers["pos_w"], sigma_xy=numbers["pos_xy_std"]),
    )
    return DenseCRF(kernels, iterations=ITERATIONS).infer(image, unary)


def seconds(function: Callable[..., Floats], *arguments: Any) -> tuple[float, Floats]:
    start = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - start, result


def peak() -> float:
    """GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)


def draw(report: list[dict[str, Any]], path: Path) -> None:
    """The times over the number of pixels, and a line along which they grow as the pixels do."""
    pyplot = require("matplotlib.pyplot", extra="train")
    figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    for parameters in dict.fromkeys(row["parameters"] for row in report):
        rows = [row for row in report if row["parameters"] == parameters]
        pixels = np.array([row["pixels"] for row in rows])
        for system, mark in (("ours", "o-"), ("pydensecrf", "s--")):
            seconds = np.array([row[f"{system} s"] for row in rows])
            if np.isfinite(seconds).all():
                axes.loglog(pixels, seconds, mark, label=f"{system}, {parameters}")
        mine = np.array([row["ours s"] for row in rows])
        axes.loglog(pixels, mine[-1] * pixels / pixels[-1], color="grey", linewidth=0.8, zorder=0)
    axes.set(xlabel="pixels", ylabel="seconds, 10 iterations, 21 classes", title="grey: as the number of pixels grows")
    axes.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--photo", type=Path, help="default: the recorded one of the shared data")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["321x481", "513x513"])
    parser.add_argument("--parameters", nargs="+", default=["v1_largefov", "v2_resnet101"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ours-only", action="store_true", help="to see the memory that ours takes")
    parser.add_argument("--growth", type=Path, metavar="PNG", help="times over the number of pixels, as a picture")
    arguments = parser.parse_args()
    sys.path.insert(0, str(arguments.shared / "golden"))
    import crf_common  # type: ignore[import-not-found]

    recorded = np.load(arguments.shared / "golden/crf_pydensecrf/crf2_321x481/inputs.npz")["image"]
    photo = read_image(arguments.photo) if arguments.photo else recorded
    report: list[dict[str, Any]] = []
    for size in GROWTH if arguments.growth else arguments.sizes:
        height, width, num_classes = (GROWTH | SIZES)[size]
        enlarge = mirrored if arguments.growth else resize_image
        image = np.array(enlarge(photo, (height, width)))  # a copy: pydensecrf wants to write to it
        scores = crf_common.low_logits(image, num_classes, 21)
        unary = crf_common.unary(scores, (height, width)).reshape(num_classes, height, width)
        for name in arguments.parameters:
            inputs = (image, unary, crf_common.PARAMS[name])
            ours(*inputs)  # compiles
            times: list[tuple[float, float]] = []
            difference = float("nan")
            for _ in range(arguments.rounds):
                mine, marginals = seconds(ours, *inputs)
                other = float("nan")
                if not arguments.ours_only:
                    other, reference = seconds(theirs, *inputs)
                    difference = float(np.abs(marginals - reference).mean())
                times.append((mine, other))
            report.append(
                {
                    "size": size,
                    "pixels": height * width,
                    "classes": num_classes,
                    "parameters": name,
                    "cores": cores(),
                    "ours s": round(statistics.median(mine for mine, _ in times), 3),
                    "pydensecrf s": round(statistics.median(other for _, other in times), 3),
                    "ratio": round(statistics.median(other / mine for mine, other in times), 2),
                    "mean difference": difference,
                    "peak GiB": round(peak(), 2),
                }
            )
            print(json.dumps(report[-1]), flush=True)
    if arguments.growth:
        draw(report, arguments.growth)


if __name__ == "__main__":
    main()
