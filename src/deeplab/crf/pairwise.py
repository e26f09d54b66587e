"""The pairwise term of the CRF: Gaussian kernels over pixels, their parameters by model, their features.

Kraehenbuehl and Koltun, NIPS 2011 (arXiv:1210.5644), equations 2 and 3; the parameters are those of DeepLab v1
(arXiv:1412.7062), v2 (arXiv:1606.00915) and CRF-RNN (arXiv:1502.03240).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Literal, TypeAlias, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from deeplab._machine import free_memory
from deeplab.errors import ImageError, SettingsError, unknown_name
from deeplab.settings import CRFPreset

__all__ = [
    "PRESETS",
    "Normalization",
    "PairwiseKernel",
    "check_memory",
    "check_whole",
    "compatibility",
    "features",
    "gains",
    "kernels_named",
]

FARTHEST = 1 / 8
"""Features of at most this over the precision's epsilon, 1e6 in float32, keep their corners: rounding leads the kernels
out of the lattice, and out of their memory, from 16 times as much on with 5 features and 8 times with 200."""

Floats: TypeAlias = NDArray[np.float32]
Normalization: TypeAlias = Literal["symmetric", "before", "after", "none"]


@dataclass(frozen=True, kw_only=True)
class PairwiseKernel:
    """One Gaussian kernel of the pairwise term, w k(f_i, f_j) mu(x_i, x_j) (equations 2 and 3 of the NIPS paper)."""

    weight: float
    """w: how much two pixels of the same features pay for different labels."""
    sigma_xy: float | tuple[float, ...]
    """Standard deviation of the distance in pixels; one number, or one for each axis, (row, column)."""
    sigma_rgb: float | tuple[float, ...] | None = None
    """Standard deviation of the difference in grey levels, 0 .. 255; one number, or one for each band; None: colours
    do not matter (the smoothness kernel), else they do (the appearance or bilateral kernel)."""
    compatibility: ArrayLike | None = None
    """mu, what a pair of labels costs: None: 1 for different labels (Potts); (num_classes,): so much for equal
    labels, 0 for others, so attraction is negative; (num_classes, num_classes): any, of which the symmetric part
    counts, for pairs have no order."""
    normalization: Normalization = "symmetric"
    """By what a constant becomes, n: 1 / sqrt(n) before and after the filter, 1 / n before, 1 / n after, or none. With
    none a weight depends on the size of the image, and the lattice's sums fall short of the Gaussian's."""

    def __post_init__(self) -> None:
        for name in ("sigma_xy", "sigma_rgb"):
            sigmas = getattr(self, name)
            if name == "sigma_rgb" and sigmas is None:
                continue
            numbers = np.atleast_1d(np.asarray(sigmas, np.float64))
            if not (np.isfinite(numbers).all() and (numbers > 0).all()):
                raise SettingsError(f"{name} wants numbers above 0, got {sigmas!r}")
        if not np.isfinite(self.weight):
            raise SettingsError(f"weight wants a number, got {self.weight!r}")
        try:
            np.asarray(0 if self.compatibility is None else self.compatibility, np.float32)
        except (TypeError, ValueError) as error:
            raise SettingsError("compatibility wants one row of numbers, or rows of as many each") from error
        if self.normalization not in get_args(Normalization):
            wanted = " or ".join(get_args(Normalization))
            raise SettingsError(f"normalization wants {wanted}, got {self.normalization!r}")


def _pair(
    weight: float, sigma_xy: float, sigma_rgb: float, smooth: float, smooth_sigma: float
) -> tuple[PairwiseKernel, ...]:
    """The appearance kernel and the smoothness kernel of both papers."""
    return (
        PairwiseKernel(weight=weight, sigma_xy=sigma_xy, sigma_rgb=sigma_rgb),
        PairwiseKernel(weight=smooth, sigma_xy=smooth_sigma),
    )


PRESETS: dict[CRFPreset, tuple[PairwiseKernel, ...]] = {
    "v1": _pair(5, 50, 10, 3, 3),
    "v1-msc": _pair(3, 95, 3, 3, 3),
    "v1-coco": _pair(5, 67, 3, 3, 3),
    "v1-largefov": _pair(4, 121, 5, 3, 3),
    "v1-msc-largefov": _pair(4, 83, 5, 3, 3),
    "v1-coco-largefov": _pair(5, 69, 5, 3, 3),
    "v1-msc-coco-largefov": _pair(4, 59, 5, 3, 3),
    "v2-vgg16": _pair(4, 65, 3, 2, 2),
    "v2-resnet101": _pair(4, 67, 3, 3, 1),
    "crf-rnn": (
        PairwiseKernel(weight=5, sigma_xy=160, sigma_rgb=3, normalization="after"),
        PairwiseKernel(weight=3, sigma_xy=3, normalization="after"),
    ),
}
"""Kernels by the model that they were chosen for: those of the run scripts that the authors of v1 and v2 published
(the papers give ranges), and the start values of CRF-RNN (Zheng et al., ICCV 2015). They fit VOC; other images want
others."""


def kernels_named(kernels: str | Sequence[PairwiseKernel]) -> tuple[PairwiseKernel, ...]:
    """The kernels of a preset by its name; kernels themselves as they are.

    Raises:
        UnknownNameError: No preset of that name.
        SettingsError: No kernel at all.
    """
    if isinstance(kernels, str):
        if kernels not in PRESETS:
            raise unknown_name("CRF preset", kernels, PRESETS)
        kernels = PRESETS[kernels]
    if not kernels:
        raise SettingsError("a CRF wants at least one pairwise kernel, got none")
    return tuple(kernels)


def features(kernel: PairwiseKernel, image: Tensor) -> Tensor:
    """What the kernel compares: the position, the last axis first, then the bands, over standard deviations.

    Args:
        image: Float (*size, bands), grey levels.

    Returns:
        (*size, features), where the image is and of its type.

    Raises:
        ImageError: Values so many standard deviations from 0 that rounding would take them out of the lattice.
        SettingsError: The kernel has another number of standard deviations than the image has axes or bands.
    """
    *size, bands = image.shape
    sigma_xy = _sigmas("sigma_xy", kernel.sigma_xy, image.new_empty(len(size)), "axes")
    places = [torch.arange(length, dtype=image.dtype, device=image.device) for length in size]
    found = torch.stack(torch.meshgrid(places, indexing="ij"), dim=-1).div(sigma_xy).flip(-1)
    if kernel.sigma_rgb is not None:
        sigma_rgb = _sigmas("sigma_rgb", kernel.sigma_rgb, image.new_empty(bands), "bands")
        found = torch.cat([found, image / sigma_rgb], dim=-1)
    largest, most = float(found.abs().amax()), FARTHEST / torch.finfo(found.dtype).eps
    if not largest <= most:  # also where it is no number
        raise ImageError(
            f"positions or values of the image are {largest:.1e} standard deviations of a kernel from 0, wanted at "
            f"most {most:.1e}; replace the numbers that stand for missing values, or give larger standard deviations"
        )
    return found


def _sigmas(name: str, sigmas: float | tuple[float, ...], like: Tensor, what: str) -> Tensor:
    """One standard deviation for each element of `like`."""
    numbers = torch.as_tensor(sigmas, dtype=like.dtype, device=like.device).reshape(-1)
    if len(numbers) not in (1, len(like)):
        raise SettingsError(f"{name} wants one number or {len(like)}, one for each of the {what}, got {sigmas!r}")
    return numbers.expand(len(like))


def compatibility(kernel: PairwiseKernel, num_classes: int) -> Floats | None:
    """float32 (C,), or (C, C) and symmetric; None: Potts.

    Raises:
        SettingsError: Not of so many classes, or not finite.
    """
    if kernel.compatibility is None:
        return None
    numbers = np.asarray(kernel.compatibility, np.float32)
    if numbers.shape not in ((num_classes,), (num_classes, num_classes)):
        raise SettingsError(
            f"compatibility wants shape ({num_classes},) or ({num_classes}, {num_classes}), got {numbers.shape}"
        )
    if not np.isfinite(numbers).all():
        raise SettingsError("compatibility wants finite numbers; some are not")
    return numbers if numbers.ndim == 1 else np.float32(0.5) * (numbers + numbers.T)


def gains(kernel: PairwiseKernel, num_classes: int) -> Tensor:
    """What a class (row) gains from another one (column) around it through the kernel: float32 (C, C).

    Raises:
        SettingsError: As `compatibility`.
    """
    costs = compatibility(kernel, num_classes)
    if costs is None:  # Potts: equal labels are paid for
        return kernel.weight * torch.eye(num_classes)
    return -kernel.weight * torch.from_numpy(np.diag(costs) if costs.ndim == 1 else costs)


def check_whole(name: str, value: int, *, least: int) -> int:
    """The value, if it is a whole number of at least `least`. Raises SettingsError."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise SettingsError(f"{name} wants a whole number of at least {least}, got {value!r}")
    return int(value)


def check_memory(kernels: Sequence[PairwiseKernel], shape: tuple[int, ...]) -> None:
    """Refuse unary energies of this shape, (num_classes, *size), for which there is too little memory.

    With two corners for each pixel, which is many: as much as with standard deviations of 3 grey levels.
    """
    num_classes, *size = shape
    row = 4 * -(-num_classes // 8) * 8
    features = [len(size) + (0 if kernel.sigma_rgb is None else 3) for kernel in kernels]
    needed = math.prod(size) * (3 * row + sum(48 * (d + 1) + 2 * row for d in features))
    free = free_memory()
    if free is not None and needed > free:
        raise ImageError(
            f"a CRF of {' x '.join(map(str, size))} pixels and {num_classes} classes needs about "
            f"{needed / 2**30:.1f} GiB of memory, and {free / 2**30:.1f} GiB are free; "
            "take a smaller image, or the CRF of its parts"
        )
