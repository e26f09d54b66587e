"""Checks for images that occur more than once."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import suppress

import numpy as np

from deeplab._words import number_of
from deeplab.data.doctor.diagnosis import Case, Evidence, Examined, Finding, found
from deeplab.data.doctor.duplicates import alike
from deeplab.files import File

__all__ = ["Twins", "check_copies", "find_twins"]

Twins = tuple[Examined, Examined, bool]
"""Two images that look alike, and whether they are the same byte for byte."""

APART = ("train", "val", "test")
"""How the splits are named that are to have no image in common."""

OTHER_LABELS = 0.05
"""Share of the pixels that two masks of the same image label differently, at least, from where on it is told."""


def find_twins(evidence: Evidence) -> list[Twins]:
    """Pairs of images that look alike, but for those of two splits that have images in common by design.

    Of an image that is like many, those with the nearest of its own split and of the others; of one that is equal to
    many, those with the first of each split.
    """
    items = evidence.examined
    images: dict[str, set[File]] = {}
    for item in items:
        images.setdefault(item.split, set()).add(item.sample.image)
    shared = {(one, other) for one in images for other in images if one != other and _may_share(one, other, images)}
    groups = _equal(items)
    equal = {index: number for number, group in enumerate(groups) for index in group}
    pairs = set(alike([item.facts.image.fingerprint for item in items], [item.split for item in items]))
    for group in groups:
        first_of = {items[index].split: index for index in reversed(group)}
        pairs |= {(min(i, j), max(i, j)) for i in group for j in first_of.values() if i != j}
    return [
        (items[i], items[j], equal.get(i, -1) == equal.get(j, -2))
        for i, j in sorted(pairs)
        if (items[i].split, items[j].split) not in shared
    ]


def check_copies(evidence: Evidence) -> Iterator[Finding]:
    """Copies across splits, within them, and with other labels."""
    twins = find_twins(evidence)
    across = [pair for pair in twins if pair[0].split != pair[1].split]
    if across:
        cases = [Case(_images(pair), "the same file" if pair[2] else "look alike") for pair in across]
        yield found("copies-across-splits", number_of(len(cases), "image in two splits", "images in two splits"), cases)
    groups = list(_groups([pair for pair in twins if pair[0].split == pair[1].split]))
    if groups:
        images = sum(map(len, groups))
        what = f"{images:,} images that look alike, in {number_of(len(groups), 'group')}"
        yield found("copies", what, [Case(group) for group in groups])
    differing = [(pair, _difference(*pair[:2])) for pair in twins if pair[2]]
    remarks = {_images(pair): f"about {share:.0%} of the pixels" for pair, share in differing if share > OTHER_LABELS}
    cases = [Case(images, remark) for images, remark in remarks.items()]
    if cases:
        words = number_of(len(cases), "image that occurs twice", "images that occur twice")
        yield found("copies-labelled-differently", f"{words}, with other labels", cases)


def _may_share(one: str, other: str, images: Mapping[str, Set[File]]) -> bool:
    """Whether two splits have images in common by design.

    Both are to learn from, as train and trainaug; one is named after the other, as trainval after val; or one has a
    name of its own and all images of the other, as a list of everything.
    """
    if (one.startswith("train") and other.startswith("train")) or one in other or other in one:
        return True
    pairs = ((one, other), (other, one))
    return any(not large.startswith(APART) and images[large] >= images[small] for large, small in pairs)


def _images(pair: Twins) -> tuple[File, ...]:
    return pair[0].sample.image, pair[1].sample.image


def _equal(items: Sequence[Examined]) -> list[list[int]]:
    """The numbers of the images that are the same byte for byte, of each such image."""
    by_print: dict[str, list[int]] = defaultdict(list)
    for index, item in enumerate(items):
        by_print[item.facts.image.fingerprint].append(index)
    groups: dict[bytes, list[int]] = defaultdict(list)
    for text, indices in by_print.items():
        for index in indices if text and len(indices) > 1 else ():
            with suppress(OSError):
                groups[hashlib.sha256(items[index].sample.image.read_bytes()).digest()].append(index)
    return [group for group in groups.values() if len(group) > 1]


def _groups(twins: Sequence[Twins]) -> Iterator[tuple[File, ...]]:
    """The images that are connected by likeness, sorted; one that is listed again is there twice."""
    group: dict[File, set[File]] = {}
    for pair in twins:
        one, other = (group.setdefault(path, {path}) for path in _images(pair))
        if one is not other:
            small, large = sorted((one, other), key=len)
            large |= small
            group.update(dict.fromkeys(small, large))
    seen: set[int] = set()
    for members in group.values():
        if id(members) not in seen:
            seen.add(id(members))
            yield tuple(sorted(members, key=str)) if len(members) > 1 else (*members, *members)


def _difference(one: Examined, other: Examined) -> float:
    """The least share of the pixels that the masks of two equal images label differently, from their counts."""
    masks = one.facts.mask, other.facts.mask
    if masks[0] is None or masks[1] is None or masks[0].size != masks[1].size or masks[0].problem or masks[1].problem:
        return 0.0
    counts = np.zeros((2, 65536), np.int64)
    for row, mask in zip(counts, masks, strict=True):
        for part in mask.labels if mask else ():
            row[part.label] = part.pixels
    return float(np.abs(counts[0] - counts[1]).sum() / 2 / counts[0].sum())
