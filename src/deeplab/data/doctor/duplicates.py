"""Images that are the same or look alike, found by a perceptual hash.

The hash keeps the signs of the 64 lowest frequencies of a grey picture (DCT; Zauner, "Implementation and benchmarking
of perceptual image hash functions", 2010, section 3.2.1), which compression and scaling hardly change. All hashes are
compared with all others, as products of their signs; where they differ in few bits, the pictures are, at 16 x 16.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["SIDE", "alike", "fingerprint"]

SIDE = 64
"""Pixels of the side of the square that a picture is squeezed to."""

BITS = 64
"""Of a hash."""

FARTHEST = 7
"""Bits that may differ."""

CORRELATION = 0.98
"""Of the two small grey pictures, at least."""

NEAREST = 8
"""Pictures of its own group that one is told to be like, and as many of other groups, at most: of the frames of a
camera that stands still all are alike."""

TOGETHER = 2**22
"""Pairs that are compared at a time."""

FLAT = 2.0
"""Standard deviation, in 0..255, below which a small picture is compared with no other: noise decides its hash."""


def fingerprint(picture: NDArray[np.uint8]) -> str:
    """What is compared of a picture, uint8 (SIDE, SIDE, 3): its hash and its small grey version, in hexadecimal."""
    grey = picture.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    small = grey.reshape(32, 2, 32, 2).mean(axis=(1, 3))
    low = (_DCT @ small @ _DCT.T).ravel()
    bits = np.packbits(low > np.median(low))
    tiny = np.rint(small.reshape(16, 2, 16, 2).mean(axis=(1, 3))).astype(np.uint8)
    return bytes(bits).hex() + bytes(tiny.ravel()).hex()


def alike(fingerprints: Sequence[str], groups: Sequence[object]) -> Iterator[tuple[int, int]]:
    """The pairs (i, j), i < j, of pictures that look alike, ascending; "" is like nothing.

    Args:
        groups: What each belongs to: of a picture that is like many, the nearest of its own and of other groups.
    """
    known = np.array([index for index, text in enumerate(fingerprints) if text], np.int64)
    if not len(known):
        return
    numbers: dict[object, int] = {}
    group = np.array([numbers.setdefault(groups[index], len(numbers)) for index in known])
    values = np.array([list(bytes.fromhex(fingerprints[index])) for index in known], np.uint8)
    signs = 2 * np.unpackbits(values[:, : BITS // 8], axis=1).astype(np.float32) - 1
    pictures = values[:, BITS // 8 :].astype(np.float32)
    pictures -= pictures.mean(axis=1, keepdims=True)
    deviation = pictures.std(axis=1)
    pictures /= np.maximum(deviation, FLAT)[:, np.newaxis] * np.sqrt(pictures.shape[1])
    found = []
    step = max(1, TOGETHER // len(known))
    for start in range(0, len(known), step):
        near = signs[start : start + step] @ signs.T >= BITS - 2 * FARTHEST
        np.fill_diagonal(near[:, start:], False)  # itself
        rows = np.flatnonzero(near.any(axis=1))
        likeness = np.where(near[rows], pictures[start + rows] @ pictures.T, 0)
        own = group[start + rows, np.newaxis] == group
        for among in (own, ~own):
            row, other = _nearest(np.where(among, likeness, 0))
            found.append(np.stack([start + rows[row], other], axis=1))
    pairs = np.unique(np.sort(known[np.concatenate(found)], axis=1), axis=0)
    yield from map(tuple, pairs.tolist())


def _nearest(likeness: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the largest of each row, NEAREST at most, that are large enough."""
    most = min(NEAREST, likeness.shape[1])
    columns = np.argpartition(-likeness, most - 1, axis=1)[:, :most]
    rows, places = np.nonzero(np.take_along_axis(likeness, columns, axis=1) >= CORRELATION)
    return rows, columns[rows, places]


_DCT = np.cos(np.pi / 32 * np.outer(np.arange(8), np.arange(32) + 0.5)).astype(np.float32)
"""The first eight rows of the 32 x 32 cosine transform; the scale of a frequency does not matter for its sign."""
