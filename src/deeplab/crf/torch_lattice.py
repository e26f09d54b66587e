"""The permutohedral lattice of `kernels/permutohedral.py` as operations on tensors, on any device, in any precision.

Adams, Baek and Davis, Eurographics 2010. Splat, each blur and slice are sums of few rows by weights, and so each is an
`embedding_bag`, which adds up a bag in the order of its rows: the same input gives the same bits. Corners are numbered
by sorting their keys and looked up by bisection. Of the points only the extent of each feature goes to the host.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from deeplab.kernels.lattice_building import feature_scale, key_steps, steps_to_next

__all__ = ["TorchLattice"]


class TorchLattice:
    """The lattice around N points with d features: D = d + 1 corners for each, M of them in all."""

    def __init__(self, features: Tensor) -> None:
        """
        Args:
            features: Float (N, d), each divided by its standard deviation.
        """
        d = features.shape[1]
        extents = (features.amax(dim=0) - features.amin(dim=0)).cpu().numpy()
        steps = key_steps(extents)
        to_next = _as_tensor(steps_to_next(steps), features.device)
        keys, self.weights = _embed(features, _as_tensor(steps, features.device), to_next)
        known, corners, counts = torch.unique(keys, return_inverse=True, return_counts=True)  # sorted
        order = corners.flatten().argsort(stable=True)
        self.corners = corners.int()
        """(N, D): the corners around each point; `weights` has the share of each."""
        self.points = (order // (d + 1)).int()
        """(N D,): the points around each corner, one corner after the other; `shares` has their weights there."""
        self.shares = self.weights.flatten()[order]
        self.starts = (counts.cumsum(dim=0) - counts).int()
        """(M,): where in `points` those of each corner start."""
        self.blurs = [_blur(known, step, features.dtype) for step in to_next]
        """For each axis the rows (M, 3) to add up, each corner's own first, and their weights."""
        self.gain = 1 / (1 + 0.5**d)

    def filter(self, values: Tensor, *, transposed: bool = False) -> Tensor:
        """As `Lattice.filter`: (N, C) -> (N, C)."""
        at_corners = F.embedding_bag(self.points, values, self.starts, mode="sum", per_sample_weights=self.shares)
        for rows, weights in reversed(self.blurs) if transposed else self.blurs:
            at_corners = F.embedding_bag(rows, at_corners, mode="sum", per_sample_weights=weights)
        return self.gain * F.embedding_bag(self.corners, at_corners, mode="sum", per_sample_weights=self.weights)


def _embed(features: Tensor, steps: Tensor, to_next: Tensor) -> tuple[Tensor, Tensor]:
    """The corners around each point, (N, D) by their keys, and its weight at each; as in `lattice_building`."""
    n, d = features.shape
    scaled = features * _as_tensor(feature_scale(d), features.device)
    position = features.new_empty(n, d + 1)  # in the plane of the lattice
    total = features.new_zeros(n)
    for j in range(d, 0, -1):
        position[:, j] = total - j * scaled[:, j - 1]
        total = total + scaled[:, j - 1]
    position[:, 0] = total
    multiple = (position * (1 / (d + 1))).round()
    corner = multiple * (d + 1)  # of colour 0; the nearest, but perhaps not in the plane
    order = (corner - position).argsort(dim=1, stable=True)  # the largest rest has rank 0
    rank = order.argsort(dim=1) + multiple.sum(dim=1, keepdim=True).long()
    back = (d + 1) * ((rank < 0).long() - (rank > d).long())
    rank, corner = rank + back, corner + back
    order = rank.argsort(dim=1)
    rest = ((position - corner) * (1 / (d + 1))).gather(1, order.flip(1))  # ascending
    weights = torch.cat([rest[:, :1] + (1 - rest[:, -1:]), rest.diff(dim=1)], dim=1)
    first = (corner.long() * steps).sum(dim=1, keepdim=True)
    keys = torch.cat([first, to_next[order.flip(1)[:, :-1]]], dim=1).cumsum(dim=1)
    return keys, weights


def _blur(known: Tensor, step: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Each corner, the next and the previous one along an axis, int32 (M, 3), and their weights; 0 where it is none."""
    wanted = known[:, None] + torch.stack([torch.zeros_like(step), step, -step])
    rows = torch.searchsorted(known, wanted).clamp(max=len(known) - 1)
    exists = known[rows] == wanted
    return rows.int(), exists.to(dtype) * exists.new_tensor([1, 0.5, 0.5], dtype=dtype)


def _as_tensor(numbers: np.ndarray, device: torch.device) -> Tensor:
    """uint64 becomes int64, with the same bits."""
    return torch.from_numpy(numbers.view(np.int64) if numbers.dtype == np.uint64 else numbers).to(device)
