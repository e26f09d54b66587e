"""Images that are the same or look alike, found by a perceptual hash.

The hash keeps the signs of the 64 lowest frequencies of a grey picture (DCT; Zauner, "Implementation and benchmarking
of perceptual image hash functions", 2010, section 3.2.1), which compression and scaling hardly change. Hashes that
differ in few bits agree in one of four parts up to one bit, so candidates come out of an index by part, and only they
are compared, first by all bits, then by the pictures themselves at 16 x 16.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["SIDE", "alike", "fingerprint"]

SIDE = 64
"""Pixels of the side of the square that a picture is squeezed to."""

PARTS, PART_BITS = 4, 16
"""Of the 64 bits."""

FARTHEST = 2 * PARTS - 1
"""Bits that may differ: with 7 in four parts, one part has at most one of them."""

CORRELATION = 0.98
"""Of the two small grey pictures, at least."""

FLAT = 2.0
"""Standard deviation, in 0..255, below which a small picture is compared with no other: noise decides its hash."""

Hashes = NDArray[np.uint64]


def fingerprint(picture: NDArray[np.uint8]) -> str:
    """What is compared of a picture, uint8 (SIDE, SIDE, 3): its hash and its small grey version, in hexadecimal."""
    grey = picture.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    small = grey.reshape(32, 2, 32, 2).mean(axis=(1, 3))
    low = (_DCT @ small @ _DCT.T).ravel()
    bits = np.packbits(low > np.median(low))
    tiny = np.rint(small.reshape(16, 2, 16, 2).mean(axis=(1, 3))).astype(np.uint8)
    return bytes(bits).hex() + bytes(tiny.ravel()).hex()


def alike(fingerprints: Sequence[str]) -> Iterator[tuple[int, int]]:
    """The pairs (i, j), i < j, of pictures that look alike, ascending; "" is like nothing."""
    known = np.array([index for index, text in enumerate(fingerprints) if text], np.int64)
    if len(known) < 2:
        return
    values = np.array([list(bytes.fromhex(fingerprints[index])) for index in known], np.uint8)
    hashes = values[:, :8].copy().view(np.uint64)[:, 0]
    pictures = values[:, 8:].astype(np.float32)
    pictures -= pictures.mean(axis=1, keepdims=True)
    deviation = pictures.std(axis=1)
    pictures /= np.maximum(deviation, FLAT)[:, np.newaxis] * np.sqrt(pictures.shape[1])
    one, other = _near(hashes)
    similar = np.einsum("np,np->n", pictures[one], pictures[other]) >= CORRELATION
    pairs = np.sort(known[np.stack([one[similar], other[similar]], axis=1)], axis=1)
    yield from map(tuple, np.unique(pairs, axis=0).tolist())


def _near(hashes: Hashes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of pairs of hashes that differ in at most FARTHEST bits."""
    found = []
    for part in range(PARTS):
        keys = (hashes >> np.uint64(PART_BITS * part) & np.uint64(2**PART_BITS - 1)).astype(np.int64)
        order = np.argsort(keys, kind="stable")
        in_order = keys[order]
        for flipped in (0, *(1 << bit for bit in range(PART_BITS))):
            first = np.searchsorted(in_order, keys ^ flipped, side="left")
            count = np.searchsorted(in_order, keys ^ flipped, side="right") - first
            one = np.repeat(np.arange(len(keys)), count)
            other = order[np.arange(count.sum()) + np.repeat(first - np.cumsum(count) + count, count)]
            once = one < other
            one, other = one[once], other[once]
            near = _bits(hashes[one] ^ hashes[other]) <= FARTHEST
            found.append(np.stack([one[near], other[near]], axis=1))
    pairs = np.unique(np.concatenate(found), axis=0)
    return pairs[:, 0], pairs[:, 1]


def _bits(hashes: Hashes) -> NDArray[np.int64]:
    """How many bits are set in each."""
    each = np.unpackbits(hashes[:, np.newaxis].view(np.uint8), axis=1)
    counts: NDArray[np.int64] = each.sum(axis=1, dtype=np.int64)
    return counts


_DCT = np.cos(np.pi / 32 * np.outer(np.arange(8), np.arange(32) + 0.5)).astype(np.float32)
"""The first eight rows of the 32 x 32 cosine transform; the scale of a frequency does not matter for its sign."""
