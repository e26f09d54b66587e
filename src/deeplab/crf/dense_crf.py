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

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deeplab.crf.field import Field, Terms
from deeplab.crf.mean_field import mean_field
from deeplab.crf.pairwise import PairwiseKernel, check_memory, check_whole, gains, kernels_named
from deeplab.errors import ImageError, SettingsError
from deeplab.kernels._workers import Workers

__all__ = ["DenseCRF"]

_Values = TypeVar("_Values", NDArray[Any], Tensor)

FLOOR = 1e-5
"""Probabilities count as at least this much: log 0 would forbid a label whatever the neighbours say."""


class DenseCRF:
    """Mean-field inference in a fully connected CRF.

    Shape: image (H, W) or (H, W, bands), probabilities (num_classes, H, W) -> float32 (num_classes, H, W), each
    pixel's sum 1; a batch has one axis more in front, and with `dimensions` 3 a volume one more, (depth, H, W). Arrays
    give an array. Tensors give a tensor where they are: on a GPU without a copy to the host, by `mean_field`.
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
        self.kernels = kernels_named(kernels)
        self.iterations = check_whole("iterations", iterations, least=0)
        self.dimensions = check_whole("dimensions", dimensions, least=1)
        self.threads = None if threads is None else check_whole("threads", threads, least=1)

    def __call__(self, image: Any, probabilities: _Values) -> _Values:
        """The marginals of an image, or of a batch.

        Args:
            image: Grey levels, 0 .. 255, any dtype.
            probabilities: Of each class at each pixel; they count as at least 1e-5.

        Raises:
            ImageError: A value that is no number or too far from 0 for a kernel, sizes that disagree, or too little
                memory.
            SettingsError: A kernel that does not fit the image or the classes.
        """
        known = _as_tensor(probabilities)
        if not (torch.isfinite(known).all() and (known >= 0).all()):
            raise ImageError("probabilities want finite numbers of at least 0; some are not")
        return _as_given(self._infer(_as_tensor(image), -known.clamp(min=FLOOR).log()), probabilities)

    def from_logits(self, image: Any, logits: _Values) -> _Values:
        """As a call, from the scores before the softmax."""
        return _as_given(self._infer(_as_tensor(image), -_as_tensor(logits)), logits)

    def from_labels(
        self, image: Any, labels: NDArray[Any], *, num_classes: int, confidence: float = 0.7, ignore_index: int = 255
    ) -> NDArray[Any]:
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

    def infer(self, image: Any, unary: _Values) -> _Values:
        """The marginals from unary energies, the negative logarithms of unnormalised probabilities.

        Raises:
            As a call.
        """
        return _as_given(self._infer(_as_tensor(image), _as_tensor(unary)), unary)

    def trace(self, image: Any, unary: NDArray[Any]) -> list[Terms]:
        """The terms of the free energy before the first and after each iteration, of one image.

        Each takes as long as an iteration does.
        """
        energies = _as_tensor(unary)
        pixels = self._checked(_as_tensor(image), energies)
        with Workers(self.threads) as workers:
            field = Field(self.kernels, pixels, energies.numpy(), workers)
            terms = [field.terms()]
            for _ in range(self.iterations):
                field.update()
                terms.append(field.terms())
            return terms

    def _infer(self, image: Tensor, unary: Tensor) -> Tensor:
        """As `infer`, from float32."""
        if unary.ndim == self.dimensions + 2:
            if len(image) != len(unary):
                raise ImageError(f"{len(image)} images do not fit the probabilities of {len(unary)}")
            if len(unary) == 0:
                return unary
            return torch.stack([self._infer(*each) for each in zip(image, unary, strict=True)])
        image = self._checked(image.to(unary.device), unary)
        if unary.device.type != "cpu":
            return self._by_tensors(image, unary)
        with Workers(self.threads) as workers:
            field = Field(self.kernels, image, unary.numpy(), workers)
            for _ in range(self.iterations):
                field.update()
            return torch.from_numpy(field.result())

    def _by_tensors(self, image: Tensor, unary: Tensor) -> Tensor:
        """The marginals of one image by tensor operations alone; of which type, the energies tell."""
        matrices = torch.stack([gains(kernel, len(unary)) for kernel in self.kernels]).to(unary)
        logits = mean_field(image, -unary, kernels=self.kernels, matrices=matrices, iterations=self.iterations)
        return logits.softmax(dim=0)

    def _checked(self, image: Tensor, unary: Tensor) -> Tensor:
        """The image as (*size, bands), if it fits the unary energies, (num_classes, *size)."""
        if unary.ndim != self.dimensions + 1 or unary.numel() == 0:
            axes = ", ".join(("depth", "height", "width")[-self.dimensions :])
            raise ImageError(f"wanted (num_classes, {axes}) with at least one of each, got {tuple(unary.shape)}")
        if image.ndim == self.dimensions:
            image = image[..., None]
        if image.ndim != self.dimensions + 1 or image.shape[:-1] != unary.shape[1:]:
            raise ImageError(
                f"image of shape {tuple(image.shape)} does not fit probabilities of shape {tuple(unary.shape)}; "
                "both want the same height and width"
            )
        for name, values in (("image", image), ("probabilities or energies", unary)):
            if not (values.sum().isfinite() or values.isfinite().all()):  # the sum takes a third of the time
                raise ImageError(f"{name} want finite numbers; some are not (NaN or infinite)")
        if unary.device.type == "cpu":
            check_memory(self.kernels, tuple(unary.shape))
        return image


def _as_tensor(values: NDArray[Any] | Tensor) -> Tensor:
    """float32; an array is copied, for it may be one that is not to be written to."""
    if isinstance(values, Tensor):
        return values.detach().float()
    return torch.from_numpy(np.array(values, np.float32, order="C"))


def _as_given(result: Tensor, given: _Values) -> _Values:
    """As a tensor or as an array."""
    return result if isinstance(given, Tensor) else result.numpy()
