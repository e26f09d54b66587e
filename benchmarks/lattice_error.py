"""What separates the dense CRF from sums over all pairs of pixels, and what it would cost to close the gap.

    python benchmarks/lattice_error.py --shared ../shared

The permutohedral lattice approximates a Gaussian in three ways, each of which can be made better alone:

- a corner that no pixel touches does not exist, and what is blurred to it is lost ("whole": those that the blur
  reaches do exist);
- one blur by (1/2, 1, 1/2) along each axis, with the splat and the slice, is not quite a Gaussian ("3 blurs": on a
  finer lattice, where together they have the same variance);
- the features are turned onto the lattice in one way of many ("6 lattices": the mean of those around features that
  are shifted at random).

Measured on the image of 24 x 32 pixels and the marginals that ../shared/golden/crf_exact has recorded, in float64 over
all pairs. The work is that of the sums of one channel: of the points of each corner, of the corners of each point, and
of each corner with its neighbours; 1 is that of the lattice as it is.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from deeplab.crf import PairwiseKernel
from deeplab.crf.pairwise import features
from deeplab.crf.torch_lattice import _as_tensor, _blur, _embed
from deeplab.kernels.lattice_building import key_steps, steps_to_next

ITERATIONS = (1, 5, 10)


@dataclass(frozen=True)
class Variant:
    name: str
    whole: bool = False
    blurs: int = 1
    lattices: int = 1


VARIANTS = (
    Variant("as it is"),
    Variant("whole", whole=True),
    Variant("3 blurs", blurs=3),
    Variant("6 lattices", lattices=6),
    Variant("24 lattices", lattices=24),
)


def matrix_of(points: Tensor, variant: Variant) -> tuple[Tensor, int]:
    """The filter of some points, float64 (N, d), as a matrix (N, N); the additions that it takes for each channel."""
    generator = torch.Generator().manual_seed(0)
    total, work = torch.zeros(len(points), len(points), dtype=points.dtype), 0
    for _ in range(variant.lattices):
        shift = 10 * torch.rand(points.shape[1], generator=generator, dtype=points.dtype) if variant.lattices > 1 else 0
        matrix, additions = _matrix_of_one(points + shift, variant)
        total, work = total + matrix, work + additions
    return total / variant.lattices, work


def _matrix_of_one(points: Tensor, variant: Variant) -> tuple[Tensor, int]:
    n, d = points.shape
    # in squares of d + 1 splat and slice have the variance 1/6 together, a blur 1/2; the lattice is made for one
    points = points * ((1 / 6 + variant.blurs / 2) / (1 / 6 + 1 / 2)) ** 0.5
    steps = key_steps((points.amax(dim=0) - points.amin(dim=0)).numpy() + 4 * variant.blurs)
    to_next = _as_tensor(steps_to_next(steps), points.device)
    keys, weights = _embed(points, _as_tensor(steps, points.device), to_next)
    known = torch.unique(keys)
    if variant.whole:
        for _ in range(variant.blurs):
            for step in to_next:
                known = torch.unique(torch.cat([known, known + step, known - step]))
    corners = torch.searchsorted(known, keys)
    splat = torch.zeros(len(known), n, dtype=points.dtype)
    pixels = torch.arange(n).repeat_interleave(d + 1)
    splat.index_put_((corners.flatten(), pixels), weights.flatten(), accumulate=True)
    work = 2 * n * (d + 1)
    for _ in range(variant.blurs):
        for step in to_next:
            rows, shares = _blur(known, step, points.dtype)
            splat = F.embedding_bag(rows, splat, mode="sum", per_sample_weights=shares)
            work += int((shares > 0).sum()) - len(known)
    return F.embedding_bag(corners, splat, mode="sum", per_sample_weights=weights), work


def marginals_of(
    filters: list[tuple[float, Tensor]], unary: Tensor, iterations: int, *, on_iteration: Callable[[int, Tensor], None]
) -> None:
    """Mean field with the filters normalised symmetrically, Potts; (pixels, classes)."""
    normalised = []
    for weight, matrix in filters:
        root = matrix.sum(dim=1).rsqrt()
        normalised.append(weight * root[:, None] * matrix * root)
    marginals = (-unary).softmax(dim=1)
    for iteration in range(1, iterations + 1):
        marginals = (-unary + sum(matrix @ marginals for matrix in normalised)).softmax(dim=1)
        on_iteration(iteration, marginals)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    arguments = parser.parse_args()
    sys.path.insert(0, str(arguments.shared / "golden"))
    import crf_common  # type: ignore[import-not-found]

    folder = arguments.shared / "golden/crf_exact/24x32_dogs_c5"
    facts, data = json.loads((folder / "case.json").read_text()), np.load(folder / "data.npz")
    image = torch.from_numpy(data["image"].astype(np.float64))
    energies = crf_common.unary(data["low_logits"], facts["hw"]).reshape(-1, image[..., 0].numel())
    unary = torch.from_numpy(energies.astype(np.float64)).T
    print("| parameters | lattice | work | " + " | ".join(f"off after {count}" for count in ITERATIONS) + " |")
    print("|---|---|---|" + "---|" * len(ITERATIONS))
    for name, run in facts["runs"].items():
        if run["normalization"] != "symmetric":
            continue
        numbers, usual = run["params"], 0
        kernels = (
            PairwiseKernel(weight=numbers["bi_w"], sigma_xy=numbers["bi_xy_std"], sigma_rgb=numbers["bi_rgb_std"]),
            PairwiseKernel(weight=numbers["pos_w"], sigma_xy=numbers["pos_xy_std"]),
        )
        for variant in VARIANTS:
            found = [matrix_of(features(kernel, image).flatten(0, 1), variant) for kernel in kernels]
            work = sum(additions for _, additions in found)
            usual = usual or work
            off: dict[int, float] = {}

            def compare(iteration: int, marginals: Tensor, off: dict[int, float] = off, name: str = name) -> None:
                if iteration in ITERATIONS:
                    recorded = data[f"{name}_Q_{iteration}"].reshape(len(energies), -1).T
                    off[iteration] = float(np.abs(marginals.numpy() - recorded).mean())

            filters = [(kernel.weight, matrix) for kernel, (matrix, _) in zip(kernels, found, strict=True)]
            marginals_of(filters, unary, max(ITERATIONS), on_iteration=compare)
            figures = " | ".join(f"{off[count]:.4f}" for count in ITERATIONS)
            print(f"| {name} | {variant.name} | {work / usual:.1f} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
