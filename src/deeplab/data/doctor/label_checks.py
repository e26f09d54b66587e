"""Checks of labels, classes and splits, over all masks."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from deeplab._words import number_of
from deeplab.data.doctor.diagnosis import Evidence, Finding, found, mask_case
from deeplab.data.doctor.inspection import is_ignored
from deeplab.data.doctor.numbering import BLACK_AND_WHITE, find_numbering, only_0_and_255

__all__ = ["check_labels"]

RARE = 50
"""How many times as frequent the most frequent class is, from where on it is told."""

BORDERS = 0.2
"""Share of the pixels beside another class, from where on it is told."""

ENOUGH_OBJECTS = 10
"""Below which nothing is said of the size of a class's objects."""


def check_labels(evidence: Evidence) -> Iterator[Finding]:
    """What is wrong with the labels, class by class and split by split."""
    wrong = list(_numbers(evidence))
    yield from wrong
    if evidence.masks and not any(finding.kind == "labels-0-255" for finding in wrong):
        yield from _classes(evidence, any_wrong=bool(wrong))
    yield from _splits(evidence)
    yield from _masks(evidence)
    yield from _frequencies(evidence)
    yield from _objects(evidence)


def _numbers(evidence: Evidence) -> Iterator[Finding]:
    """Labels that are no classes."""
    numbering = find_numbering(evidence)
    labels = [(item, mask, {part.label for part in mask.labels}) for item, mask in evidence.masks]
    if numbering == BLACK_AND_WHITE:
        cases = [mask_case(item) for item, _, those in labels if 255 in those]
        yield found("labels-0-255", "the masks hold 0 and 255 only", cases)
        return
    last = len(evidence.origin.classes) - 1
    cases = [
        mask_case(item, "label {2} at (row {0}, column {1}) is outside 0..{last}".format(*mask.wrong, last=last))
        for item, mask, _ in labels
        if mask.wrong is not None
    ]
    if cases:
        what = f"{number_of(len(cases), 'mask')} with labels that are no class"
        yield found("label-range", what, cases, fix=numbering.fix)
        return
    cases = [mask_case(item) for item, _, those in labels if only_0_and_255(those)]
    if cases and last == 1 and not any({1, 255} <= those for _, _, those in labels):
        what = f"{number_of(len(cases), 'mask')} of 0 and 255 only, where others have 1"
        yield found("labels-0-255-mixed", what, cases)


def _classes(evidence: Evidence, *, any_wrong: bool) -> Iterator[Finding]:
    """Classes that a split lacks."""
    names = evidence.dataset.classes
    counts = {split: count for split, count in evidence.counts.items() if count.masks}
    train = counts.get("train")
    everywhere = sum(count.pixels for count in counts.values())
    if train is not None and not train.pixels.any() and not any_wrong:
        ignore = evidence.dataset.ignore_index
        yield found("nothing-labelled", f"every pixel of the masks in train is {ignore}, to be ignored")
        return
    if train is not None and np.count_nonzero(train.pixels) == 1 and not any_wrong:
        name = names[int(train.pixels.argmax())]
        yield found("one-class-only", f"every labelled pixel in train is '{name}'")
        return
    never = [names[index] for index in np.flatnonzero(everywhere == 0)]
    if never:
        yield found("class-never", f"in no mask: {_named(never)}")
    if train is None:
        return
    others = {split: count for split, count in counts.items() if split != "train"}
    untrained = {
        names[index]: " and ".join(split for split, count in others.items() if count.pixels[index])
        for index in np.flatnonzero((everywhere > 0) & (train.pixels == 0))
    }
    if untrained:
        places = [f"{name} (in {splits})" for name, splits in untrained.items()]
        yield found("class-untrained", f"not in train: {_named(places)}")
    if "val" in others:
        unmeasured = [names[index] for index in np.flatnonzero((train.pixels > 0) & (others["val"].pixels == 0))]
        if unmeasured:
            yield found("class-unmeasured", f"in train but not in val: {_named(unmeasured)}")


def _splits(evidence: Evidence) -> Iterator[Finding]:
    strays = {stray.split for stray in evidence.strays}
    train, val = (evidence.dataset.splits.get(split, ()) for split in ("train", "val"))
    if "train" not in strays and all(sample.mask is None for sample in train):
        yield found("no-train", f"no {'masks' if train else 'images'} in split 'train'")
    if "val" not in strays and not val:
        yield found("no-split", "no images in split 'val'")


def _masks(evidence: Evidence) -> Iterator[Finding]:
    """Masks that teach little."""
    num_classes = len(evidence.origin.classes)
    empty, plain = [], []
    counted = ignored = 0
    for item, mask in evidence.masks:
        dropped = {part.label: is_ignored(part.label, num_classes=num_classes, bits=mask.bits) for part in mask.labels}
        counted += mask.size[0] * mask.size[1]
        ignored += sum(part.pixels for part in mask.labels if dropped[part.label])
        classes = [label for label, is_dropped in dropped.items() if not is_dropped]
        if not classes:
            empty.append(mask_case(item))
        elif len(classes) == 1 and classes[0] < num_classes:
            plain.append(mask_case(item, f"all '{evidence.origin.classes[classes[0]]}'"))
    nothing_else = len(empty) + len(plain) == len(evidence.masks)  # said of the split
    if empty and not nothing_else:
        yield found("mask-empty", f"{number_of(len(empty), 'mask')} in which every pixel is to be ignored", empty)
    if ignored > 0.5 * counted and not nothing_else:
        yield found("mostly-ignored", f"{ignored / counted:.0%} of all pixels are to be ignored")
    if plain and not nothing_else:
        yield found("mask-plain", f"{number_of(len(plain), 'mask')} of a single class", plain)


def _frequencies(evidence: Evidence) -> Iterator[Finding]:
    count = evidence.counts.get("train")
    if count is None or np.count_nonzero(count.pixels) < 2:
        return
    order = [index for index in np.argsort(count.pixels, kind="stable") if count.pixels[index]]
    times = count.pixels[order[-1]] / count.pixels[order[0]]
    if times < RARE:
        return
    total, names = count.pixels.sum(), evidence.dataset.classes
    shares = ", ".join(f"{names[index]} {100 * count.pixels[index] / total:.2g}%" for index in order[:3])
    what = f"the rarest classes of train: {shares}; {names[order[-1]]} is {times:,.0f} times as frequent as the first"
    yield found("imbalance", what)


def _objects(evidence: Evidence) -> Iterator[Finding]:
    """Objects beside the cells of the deepest features, and borders."""
    sizes = [max(item.facts.image.size) for item, _ in evidence.masks if item.facts.image.header]
    counts = [count for count in evidence.counts.values() if count.masks]
    if not sizes or not counts:
        return
    cell = evidence.output_stride / evidence.scale(float(np.median(sizes)))  # its side in the images as they are
    octave = max(0, round(2 * math.log2(cell)))
    pixels = np.sum([count.object_pixels for count in counts], axis=0)
    objects = np.sum([count.objects for count in counts], axis=0)
    small = []
    for index, name in enumerate(evidence.dataset.classes):
        if objects[index].sum() >= ENOUGH_OBJECTS and 2 * pixels[index, :octave].sum() > pixels[index].sum():
            share = objects[index, :octave].sum() / objects[index].sum()
            small.append(f"{name} ({share:.0%} of {objects[index].sum():,} objects)")
    if small:
        what = f"most of what is {_named(small)} lies in objects below {cell:.0f} x {cell:.0f} pixels"
        yield found("small-objects", what)
    border = sum(mask.border for _, mask in evidence.masks)
    share = border / sum(mask.size[0] * mask.size[1] for _, mask in evidence.masks)
    if share > BORDERS:
        yield found("borders", f"{share:.0%} of the pixels lie at the border of two labels")


def _named(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
