"""The fully connected CRF of DeepLab v1 (arXiv:1412.7062, section 3.2) and v2 (arXiv:1606.00915, section 3.3).

Kraehenbuehl and Koltun, Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials, NIPS 2011
(arXiv:1210.5644): each pair of pixels pays for different labels, the more the nearer and the more alike they are;
mean-field inference (algorithm 1) filters the marginals by that similarity, on a permutohedral lattice. Names
without a paper are those of the papers above.

As in the authors' code, a pixel is also a neighbour of itself, and a kernel is normalised by what it makes of a
constant. The lattice only approximates a Gaussian: on 24 x 32 pixels, against sums over all pairs, the marginals
are off by 0.003 in the mean after one iteration and 0.01 after ten, with single pixels anywhere.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deeplab.errors import ImageError, SettingsError, unknown_name
from deeplab.kernels._simd import aligned
from deeplab.kernels._workers import Workers
from deeplab.kernels.lattice_building import build_lattice
from deeplab.kernels.permutohedral import padded
from deeplab.kernels.softmax import softmax
from deeplab.settings import CRFPreset

__all__ = ["PRESETS", "DenseCRF", "Normalization", "PairwiseKernel", "Terms"]

Floats: TypeAlias = NDArray[np.float32]
Normalization: TypeAlias = Literal["symmetric", "before", "after", "none"]

FLOOR = 1e-5
"""Probabilities count as at least this much: log 0 would forbid a label whatever the neighbours say."""

STRIP = 2048
"""Pixels that a thread updates at a time: their scores stay near the processor."""

TILE = 64
"""Side of the squares of pixels that are worked on one after the other."""

NEVER = -1e30
"""The score of the columns that are no class."""


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


class Terms(NamedTuple):
    """What makes up the free energy of a set of marginals."""

    unary: float
    pairwise: float
    """Each pair once. As in the authors' code, equal labels are paid for instead of different ones charged, which
    is the same but for a constant; and a pixel pairs with itself."""
    entropy: float

    @property
    def energy(self) -> float:
        """The expected energy."""
        return self.unary + self.pairwise

    @property
    def kl(self) -> float:
        """The KL divergence from the CRF's distribution, less the logarithm of its normaliser, which is not known:
        what the iterations lower."""
        return self.energy - self.entropy


class DenseCRF:
    """Mean-field inference in a fully connected CRF.

    Shape: image (H, W) or (H, W, bands), probabilities (num_classes, H, W) -> float32 (num_classes, H, W), each
    pixel's sum 1; a batch has one axis more in front, and with `dimensions` 3 a volume one more, (depth, H, W).
    """

    def __init__(
        self,
        kernels: str | Sequence[PairwiseKernel] = "v2-resnet101",
        *,
        iterations: int = 10,
        dimensions: int = 2,
        threads: int | None = None,
    ) -> None:
        """
        Args:
            kernels: The pairwise kernels, or a name of `PRESETS`.
            iterations: Of the mean field; 0 leaves the probabilities as they are.
            dimensions: Of the pixels' grid: 2 for images, 3 for volumes.
            threads: Threads to work with; None: one for each core. The result is the same.

        Raises:
            UnknownNameError: No preset of that name.
            SettingsError: A number that cannot work.
        """
        if isinstance(kernels, str):
            if kernels not in PRESETS:
                raise unknown_name("CRF preset", kernels, PRESETS)
            kernels = PRESETS[kernels]
        for name, value, least in (
            ("iterations", iterations, 0),
            ("dimensions", dimensions, 1),
            ("threads", threads, 1),
        ):
            if value is not None and (isinstance(value, bool) or value != int(value) or value < least):
                raise SettingsError(f"{name} wants a whole number of at least {least}, got {value!r}")
        self.kernels = tuple(kernels)
        self.iterations = iterations
        self.dimensions = dimensions
        self.threads = threads

    def __call__(self, image: Any, probabilities: Any) -> Floats:
        """The marginals of an image, or of a batch.

        Args:
            image: Grey levels, 0 .. 255, any dtype.
            probabilities: Of each class at each pixel; they count as at least 1e-5.

        Raises:
            ImageError: A value that is no number, or sizes that disagree.
            SettingsError: A kernel that does not fit the image or the classes, or too little memory.
        """
        probabilities = np.asarray(probabilities, np.float32)
        if not (np.isfinite(probabilities).all() and (probabilities >= 0).all()):
            raise ImageError("probabilities want finite numbers of at least 0; some are not")
        return self.infer(image, -np.log(np.maximum(probabilities, np.float32(FLOOR))))

    def from_logits(self, image: Any, logits: Any) -> Floats:
        """As a call, from the scores before the softmax."""
        return self.infer(image, -np.asarray(logits, np.float32))

    def from_labels(
        self, image: Any, labels: Any, *, num_classes: int, confidence: float = 0.7, ignore_index: int = 255
    ) -> Floats:
        """As a call, from a label map.

        Args:
            labels: Integer, of the image's height and width; `ignore_index` marks unknown pixels.
            confidence: Probability that a label is right; the others share the rest.

        Raises:
            ImageError: A label that is no class.
            SettingsError: A confidence outside 0 .. 1.
        """
        if not 0 <= confidence <= 1:
            raise SettingsError(f"confidence wants a number from 0 to 1, got {confidence!r}")
        labels = np.asarray(labels)
        known = labels != ignore_index
        if known.any() and not (labels[known].min() >= 0 and labels[known].max() < num_classes):
            raise ImageError(
                f"labels go from {labels[known].min()} to {labels[known].max()}; "
                f"wanted 0 .. {num_classes - 1}, or {ignore_index} where unknown"
            )
        axis = labels.ndim - self.dimensions  # in front of height and width
        classes = np.arange(num_classes).reshape(-1, *[1] * self.dimensions)
        is_label = np.expand_dims(labels, axis) == classes
        others = (1 - confidence) / max(num_classes - 1, 1)
        probabilities = np.where(is_label, confidence, others)
        return self(image, np.where(np.expand_dims(known, axis), probabilities, 1 / num_classes))

    def infer(self, image: Any, unary: Any) -> Floats:
        """The marginals from unary energies, the negative logarithms of unnormalised probabilities.

        Raises:
            As a call.
        """
        unary = np.asarray(unary, np.float32)
        if unary.ndim == self.dimensions + 2:
            image = _batch(image, len(unary))
            return np.stack([self.infer(*each) for each in zip(image, unary, strict=True)])
        image = self._checked(image, unary)
        with Workers(self.threads) as workers:
            field = _Field(self.kernels, image, unary, workers)
            for _ in range(self.iterations):
                field.update()
            return field.result()

    def trace(self, image: Any, unary: Any) -> list[Terms]:
        """The terms of the free energy before the first and after each iteration, of one image.

        Each takes as long as an iteration does.
        """
        unary = np.asarray(unary, np.float32)
        image = self._checked(image, unary)
        with Workers(self.threads) as workers:
            field = _Field(self.kernels, image, unary, workers)
            terms = [field.terms()]
            for _ in range(self.iterations):
                field.update()
                terms.append(field.terms())
            return terms

    def _checked(self, image: Any, unary: Floats) -> Floats:
        """The image as float32 (*size, bands), if it fits the unary energies, (num_classes, *size)."""
        image = np.asarray(image, dtype=np.float32)
        if unary.ndim != self.dimensions + 1 or unary.size == 0:
            axes = ", ".join(("depth", "height", "width")[-self.dimensions :])
            raise ImageError(f"wanted (num_classes, {axes}) with at least one of each, got {unary.shape}")
        if image.ndim == self.dimensions:
            image = image[..., np.newaxis]
        if image.ndim != self.dimensions + 1 or image.shape[:-1] != unary.shape[1:]:
            raise ImageError(
                f"image of shape {image.shape} does not fit probabilities of shape {unary.shape}; "
                "both want the same height and width"
            )
        for name, values in (("image", image), ("probabilities or energies", unary)):
            if not np.isfinite(values).all():
                raise ImageError(f"{name} want finite numbers; some are not (NaN or infinite)")
        _check_memory(self.kernels, unary.shape)
        pixels: Floats = image
        return pixels


class _Field:
    """The marginals of one image, and what changes them; pixels are in the order of `_tiles`."""

    def __init__(self, kernels: Sequence[PairwiseKernel], image: Floats, unary: Floats, workers: Workers) -> None:
        self.shape, self.workers = unary.shape, workers
        self.num_classes = len(unary)
        self.scores = padded(_to_rows(-np.moveaxis(unary, 0, -1)), NEVER)  # (pixels, classes and padding)
        self.marginals = aligned(*self.scores.shape)
        self.messages = [_Message(kernel, image, self.num_classes, workers) for kernel in kernels]
        softmax(self.scores, self.marginals)

    def update(self) -> None:
        """One iteration of algorithm 1: message passing, compatibility transform, local update."""
        at_corners = [message.spread(self.marginals, self.workers) for message in self.messages]

        def update_strip(first: int, end: int) -> None:
            scores = self.scores[first:end].copy()
            for message, values in zip(self.messages, at_corners, strict=True):
                message.subtract(values, slice(first, end), scores)
            softmax(scores, self.marginals[first:end])

        self.workers.each(update_strip, len(self.scores), at_most=STRIP)

    def terms(self) -> Terms:
        """Of the marginals as they are."""
        marginals = self.marginals[:, : self.num_classes].astype(np.float64)
        cost = np.zeros_like(self.scores)
        for message in self.messages:
            message.subtract(message.spread(self.marginals, self.workers), slice(None), cost)
        return Terms(
            unary=float(-(self.scores[:, : self.num_classes] * marginals).sum()),
            pairwise=float(-0.5 * (cost[:, : self.num_classes] * marginals).sum()),
            entropy=float(-(marginals * np.log(np.maximum(marginals, 1e-20))).sum()),
        )

    def result(self) -> Floats:
        result = np.empty(self.shape, np.float32)
        _from_rows(self.marginals[:, : self.num_classes], np.moveaxis(result, 0, -1))
        return result


def _tiles(size: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """The squares of an image, row by row: their pixels have the same neighbours, which then stay at hand."""
    axes = [[slice(start, start + TILE) for start in range(0, length, TILE)] for length in size]
    return itertools.product(*axes)


def _to_rows(pixels: Floats) -> Floats:
    """(*size, channels) -> (pixels, channels), tile by tile."""
    *size, channels = pixels.shape
    return np.concatenate([pixels[tile].reshape(-1, channels) for tile in _tiles(tuple(size))])


def _from_rows(rows: Floats, pixels: Floats) -> None:
    """The reverse, into `pixels`."""
    start = 0
    for tile in _tiles(pixels.shape[:-1]):
        target = pixels[tile]
        count = target[..., 0].size
        target[...] = rows[start : start + count].reshape(target.shape)
        start += count


class _Message:
    """What a kernel tells each pixel about the others: a normalised filter and a compatibility."""

    def __init__(self, kernel: PairwiseKernel, image: Floats, num_classes: int, workers: Workers) -> None:
        self.lattice = build_lattice(_features(kernel, image), workers=workers)
        self.factor = -kernel.weight * self.lattice.gain
        self.compatibility = _compatibility(kernel, num_classes)
        self.shares, self.weights = self._normalised(kernel.normalization, workers)
        self.at_corners: Floats | None = None

    def spread(self, marginals: Floats, workers: Workers) -> Floats:
        """What lies at the corners of the lattice; the next call overwrites it."""
        self.at_corners = self.lattice.spread(marginals, self.shares, workers=workers, out=self.at_corners)
        return self.at_corners

    def subtract(self, values: Floats, some: slice, scores: Floats) -> None:
        """Take from the scores of some pixels what their labels cost with those of the others."""
        if self.compatibility is None:  # Potts: equal labels are paid for
            self.lattice.gather(values, self.weights, -self.factor, some, scores)
            return
        gathered = np.zeros_like(scores)
        self.lattice.gather(values, self.weights, self.factor, some, gathered)
        num_classes = len(self.compatibility)
        if self.compatibility.ndim == 1:
            scores[:, :num_classes] += gathered[:, :num_classes] * self.compatibility
        else:
            scores[:, :num_classes] += gathered[:, :num_classes] @ self.compatibility

    def _normalised(self, normalization: Normalization, workers: Workers) -> tuple[Floats, Floats]:
        """The weights for the way to the lattice and for the way back."""
        lattice = self.lattice
        if normalization == "none":
            return lattice.shares, lattice.weights
        constant = lattice.filter(np.ones((len(lattice.corners), 1), np.float32), workers=workers)[:, 0]
        factor = np.reciprocal(np.sqrt(constant) if normalization == "symmetric" else constant)
        shares, weights = lattice.shares, lattice.weights
        if normalization != "after":
            shares = np.multiply(shares, factor[lattice.points], dtype=np.float32)
        if normalization != "before":
            weights = np.multiply(weights, factor[:, np.newaxis], dtype=np.float32)
        return shares, weights


def _features(kernel: PairwiseKernel, image: Floats) -> Floats:
    """float32 (pixels, features): the position, the last axis first, then the bands, over standard deviations."""
    *size, bands = image.shape
    sigma_xy = _sigmas("sigma_xy", kernel.sigma_xy, len(size), "axes")
    count = len(size) + (0 if kernel.sigma_rgb is None else bands)
    features = np.empty((*size, count), np.float32)
    for feature, axis in enumerate(reversed(range(len(size)))):
        positions = np.arange(size[axis], dtype=np.float32) / sigma_xy[axis]
        features[..., feature] = positions.reshape(-1, *[1] * (len(size) - 1 - axis))
    if kernel.sigma_rgb is not None:
        np.divide(image, _sigmas("sigma_rgb", kernel.sigma_rgb, bands, "bands"), out=features[..., len(size) :])
    return _to_rows(features)


def _sigmas(name: str, sigmas: float | tuple[float, ...], count: int, what: str) -> Floats:
    numbers = np.atleast_1d(np.asarray(sigmas, np.float32))
    if len(numbers) not in (1, count):
        raise SettingsError(f"{name} wants one number or {count}, one for each of the {what}, got {sigmas!r}")
    return np.broadcast_to(numbers, count)


def _compatibility(kernel: PairwiseKernel, num_classes: int) -> Floats | None:
    """float32 (C,), or (C, C) and symmetric; None: Potts."""
    if kernel.compatibility is None:
        return None
    compatibility = np.asarray(kernel.compatibility, np.float32)
    if compatibility.shape not in ((num_classes,), (num_classes, num_classes)):
        raise SettingsError(
            f"compatibility wants shape ({num_classes},) or ({num_classes}, {num_classes}), got {compatibility.shape}"
        )
    if not np.isfinite(compatibility).all():
        raise SettingsError("compatibility wants finite numbers; some are not")
    if compatibility.ndim == 2:
        compatibility = np.float32(0.5) * (compatibility + compatibility.T)
    return compatibility


def _check_memory(kernels: Sequence[PairwiseKernel], shape: tuple[int, ...]) -> None:
    """Refuse unary energies of this shape, (num_classes, *size), for which there is too little memory.

    With two corners for each pixel, which is many: as much as with standard deviations of 3 grey levels.
    """
    num_classes, *size = shape
    row = 4 * -(-num_classes // 8) * 8
    features = [len(size) + (0 if kernel.sigma_rgb is None else 3) for kernel in kernels]
    needed = math.prod(size) * (3 * row + sum(48 * (d + 1) + 2 * row for d in features))
    free = _free_memory()
    if free is not None and needed > free:
        raise ImageError(
            f"a CRF of {' x '.join(map(str, size))} pixels and {num_classes} classes needs about "
            f"{needed / 2**30:.1f} GiB of memory, and {free / 2**30:.1f} GiB are free; "
            "take a smaller image, or the CRF of its parts"
        )


def _free_memory() -> int | None:
    """Bytes that programs may still take, where the system says so (Linux)."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)


def _batch(images: Any, count: int) -> Any:
    if len(images) != count:
        raise ImageError(f"{len(images)} images do not fit the probabilities of {count}")
    return images
