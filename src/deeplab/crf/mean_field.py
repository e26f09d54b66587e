"""Mean-field inference on the tensors of one image, differentiable: algorithm 1 of Kraehenbuehl and Koltun, NIPS 2011.

An iteration adds to the logits what each kernel gathers of the marginals, times a matrix of classes (Zheng et al.,
Conditional Random Fields as Recurrent Neural Networks, ICCV 2015, arXiv:1502.03240, section 4). The gradient goes
through the filter by its transpose, before the matrix, and so needs the marginals only: of each iteration nothing else
is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from deeplab.crf.pairwise import PairwiseKernel, features
from deeplab.crf.torch_lattice import TorchLattice
from deeplab.kernels._workers import Workers
from deeplab.kernels.lattice_building import build_lattice

__all__ = ["Filter", "mean_field"]

POWERS = {"symmetric": (-0.5, -0.5), "before": (-1.0, 0.0), "after": (0.0, -1.0), "none": (0.0, 0.0)}
"""Of what a constant becomes, by which a kernel is normalised before and after the filter."""


def mean_field(
    image: Tensor,
    logits: Tensor,
    *,
    kernels: Sequence[PairwiseKernel],
    matrices: Tensor,
    iterations: int,
    workers: Workers | None = None,
) -> Tensor:
    """The logits after some iterations; their softmax is the marginals.

    Args:
        image: (*size, bands), grey levels, of the type of the logits.
        logits: (num_classes, *size), float32 or float64. On a CPU float32 is filtered by the compiled lattice, all else
            by that of `torch_lattice`.
        matrices: (kernels, num_classes, num_classes): what a class (row) gains from another one around it (column).
        workers: The threads of the compiled lattice; None: this one.

    Returns:
        As the logits.
    """
    filters = [Filter(kernel, image, workers=workers) for kernel in kernels]
    unary = scores = logits.flatten(1).T.contiguous()  # (pixels, num_classes)
    for _ in range(iterations):
        marginals = scores.softmax(dim=1)
        scores = unary
        for filter_, matrix in zip(filters, matrices, strict=True):
            scores = scores + _Message.apply(marginals, matrix, filter_)
    return scores.T.reshape(logits.shape)


class Filter:
    """A kernel on an image: a normalised matrix (pixels, pixels), which multiplies rows of values."""

    def __init__(self, kernel: PairwiseKernel, image: Tensor, *, workers: Workers | None = None) -> None:
        """
        Args:
            image: (*size, bands), float32 or float64.
            workers: As in `mean_field`.
        """
        points = features(kernel, image).flatten(0, -2)
        compiled = points.device.type == "cpu" and points.dtype == torch.float32
        self.lattice = _CompiledLattice(points, workers) if compiled else TorchLattice(points)
        constant = self.lattice.filter(torch.ones_like(points[:, :1]))
        self.before, self.after = (constant**power for power in POWERS[kernel.normalization])

    def __call__(self, values: Tensor, *, transposed: bool = False) -> Tensor:
        """(pixels, C) -> (pixels, C), any C."""
        first, last = (self.after, self.before) if transposed else (self.before, self.after)
        return last * self.lattice.filter(first * values, transposed=transposed)


class _CompiledLattice:
    """The lattice of `kernels`, for tensors."""

    def __init__(self, points: Tensor, workers: Workers | None) -> None:
        self.workers = workers
        self.lattice = build_lattice(points.contiguous().numpy(), workers=workers)

    def filter(self, values: Tensor, *, transposed: bool = False) -> Tensor:
        return torch.from_numpy(self.lattice.filter(values.numpy(), transposed=transposed, workers=self.workers))


class _Message(torch.autograd.Function):
    """What the classes around each pixel say to it: filter @ marginals @ matrix.T, (pixels, num_classes)."""

    @staticmethod
    def forward(ctx: Any, marginals: Tensor, matrix: Tensor, filter_: Filter) -> Tensor:
        ctx.save_for_backward(marginals, matrix)
        ctx.filter = filter_
        return filter_(marginals) @ matrix.T

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        marginals, matrix = ctx.saved_tensors
        gathered = ctx.filter(gradient, transposed=True)
        return gathered @ matrix, gathered.T @ marginals, None
