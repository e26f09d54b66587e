"""Checks of single files and of each mask beside its image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from deeplab.data.doctor.diagnosis import Case, Evidence, Examined, Finding
from deeplab.data.doctor.inspection import ImageFacts, MaskFacts
from deeplab.data.doctor.kinds import KINDS

__all__ = ["affixes", "check_files", "found", "number_of"]

SMEARED = 0.2
"""Share of the pixels along borders that lie in specks, above which a mask was scaled or smoothed. Of hand-drawn masks
few have more than a twentieth."""

SPECK_OCTAVES = 3
"""A speck has fewer than 2^3 pixels."""


def check_files(evidence: Evidence) -> Iterator[Finding]:
    """What is wrong with files, whatever the classes are."""
    yield from _strays(evidence)
    yield from _unreadable(evidence)
    yield from _sizes(evidence)
    yield from _palettes(evidence)
    yield from _smeared(evidence)
    yield from _pictures(evidence)


def found(kind: str, what: str, cases: Iterable[Case] = (), *, fix: str = "") -> Finding:
    """A finding, with the way out of its kind unless it has one of its own."""
    return Finding(kind, what, tuple(cases), fix or KINDS[kind].fix)


def number_of(count: int, singular: str, plural: str = "") -> str:
    """As in "1 mask", "3 masks"."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"


def affixes(evidence: Evidence) -> Mapping[tuple[str, str], str]:
    """What mask stems have around those of the images, as in "0042_mask", by what is the folder of both.

    Returns:
        (folder, stem of a mask) -> stem of its image, for the masks without an image where half of the images without
        a mask are found in this way.
    """
    paired: dict[tuple[str, str], str] = {}
    lonely = {(stray.files[0].parent.parent, stray.kind): stray.files for stray in evidence.strays}
    for (folder, kind), masks in lonely.items():
        images = {file.stem for file in lonely.get((folder, "image without mask"), ())}
        if kind != "mask without image" or not images:
            continue
        stems = [mask.stem for mask in masks]
        around: Counter[tuple[str, str]] = Counter()
        for stem in stems[:5]:
            around.update(tuple(stem.split(image, 1)) for image in images if image in stem)  # type: ignore[misc]
        for (before, after), _ in around.most_common(1):
            names = {f"{before}{image}{after}": image for image in images}
            matching = {(str(folder), stem): names[stem] for stem in stems if stem in names}
            paired |= matching if 2 * len(matching) >= len(images) else {}
    return paired


def _strays(evidence: Evidence) -> Iterator[Finding]:
    named = affixes(evidence)
    for stray in evidence.strays:
        cases = [Case((file,)) for file in stray.files]
        fix = ""
        if stray.kind == "same stem":
            files = " and ".join(file.name for file in stray.files)
            yield found("same-stem", f"{files} have the same stem in {stray.folder.name}", cases)
            continue
        split = stray.folder.parent
        pairs = [(mask, image) for (folder, mask), image in named.items() if folder == str(split)]
        if pairs:
            fix = f"Rename the masks as their images, as in {pairs[0][0]} to {pairs[0][1]}; --fix does."
        kind, missing = stray.kind.replace(" ", "-"), stray.kind.rpartition(" ")[2]
        noun = stray.kind.partition(" ")[0]
        verb = "has" if len(cases) == 1 else "have"
        yield found(kind, f"{number_of(len(cases), noun)} in {split.name} {verb} no {missing}", cases, fix=fix)


def _unreadable(evidence: Evidence) -> Iterator[Finding]:
    images = [Case((item.sample.image,), item.facts.image.problem) for item in evidence.examined]
    images = [case for case in images if case.remark]
    if images:
        yield found("image-unreadable", f"{number_of(len(images), 'image')} cannot be read", images)
    sentences = {
        "mask-unreadable": "cannot be read",
        "mask-lossy": "saved with loss",
        "mask-colours": "with colours that are no class's",
        "mask-kind": "without one class a pixel",
    }
    for kind, words in sentences.items():
        cases = [_mask_case(item, mask.problem) for item, mask in _all_masks(evidence) if mask.kind == kind]
        if cases:
            yield found(kind, f"{number_of(len(cases), 'mask')} {words}", cases)


def _sizes(evidence: Evidence) -> Iterator[Finding]:
    sizes: list[Case] = []
    transposed = 0
    stored: list[Case] = []
    unclear: list[Case] = []
    for item, mask in evidence.masks:
        image = item.facts.image
        if image.header is None or mask.header is None:
            continue
        turns = mask.header.orientation, image.header.orientation
        if image.size != mask.size:
            height, width = mask.size
            remark = f"{height} x {width} (height x width), image {image.size[0]} x {image.size[1]}"
            if image.header.size == mask.header.size and turns[0] != turns[1]:
                stored.append(_mask_case(item, f"EXIF orientation {turns[0]}, image {turns[1]}"))
            elif mask.size == image.size[::-1]:
                transposed += 1
                sizes.append(_mask_case(item, f"{remark}; transposed"))
            else:
                sizes.append(_mask_case(item, remark))
        elif turns[0] != turns[1] and (max(turns) in (2, 3, 4) or image.size[0] == image.size[1]):
            unclear.append(_mask_case(item, f"EXIF orientation {turns[0]}, image {turns[1]}"))
    if stored:
        one = number_of(len(stored), "mask fits its", "masks fit their")
        yield found("orientation", f"{one} image as stored, not as EXIF turns it", stored)
    if sizes:
        one = number_of(len(sizes), "mask does not have the size of its", "masks do not have the size of their")
        fix = "Turn the masks: export (height, width), not (width, height)." if transposed == len(sizes) else ""
        yield found("size", f"{one} image", sizes, fix=fix)
    if unclear:
        one = number_of(len(unclear), "image")
        yield found("orientation-unclear", f"{one} turned by EXIF, of a mask that is not turned alike", unclear)


def _palettes(evidence: Evidence) -> Iterator[Finding]:
    classes, colors = evidence.origin.classes, list(map(tuple, evidence.origin.palette.tolist()))
    of_color = {color: label for label, color in enumerate(colors) if colors.count(color) == 1}
    cases, in_colors = [], []
    for item, mask in evidence.masks:
        if mask.header is None:
            continue
        if mask.header.mode in ("RGB", "RGBA"):
            in_colors.append(_mask_case(item))
        for part in mask.labels:
            color = mask.header.palette[part.label] if part.label < len(mask.header.palette) else None
            named = of_color.get(color) if color else None
            if named is not None and part.label < len(classes) and named != part.label:
                remark = f"label {part.label} has the colour of class {named}, '{classes[named]}'"
                cases.append(_mask_case(item, remark))
                break
    if cases:
        yield found("palette", f"{number_of(len(cases), 'mask')} in which a class has another one's colour", cases)
    if in_colors:
        yield found("mask-in-colours", f"{number_of(len(in_colors), 'mask')} in colours", in_colors)


def _smeared(evidence: Evidence) -> Iterator[Finding]:
    cases = []
    for item, mask in evidence.masks:  # between two labels only, nothing can be mixed in
        specks = sum(sum(part.object_pixels[:SPECK_OCTAVES]) for part in mask.labels)
        if mask.wrong is None and len(mask.labels) > 2 and specks > SMEARED * mask.border and mask.border > 50:
            cases.append(_mask_case(item, f"{specks} pixels in specks"))
    if cases:
        yield found("mask-speckled", f"{number_of(len(cases), 'mask')} with specks along the borders", cases)


def _pictures(evidence: Evidence) -> Iterator[Finding]:
    least, most = 2 * evidence.output_stride, evidence.long_side
    readable = [item for item in evidence.examined if item.facts.image.header]

    def of(condition: Callable[[ImageFacts], bool], *, size: bool = False) -> list[Case]:
        chosen = [item for item in readable if condition(item.facts.image)]
        return [
            Case((item.sample.image,), " x ".join(map(str, item.facts.image.size)) if size else "") for item in chosen
        ]

    checks: Sequence[tuple[str, str, list[Case]]] = (
        ("image-blank", "of one colour only", of(lambda image: image.blank)),
        (
            "image-small",
            f"with a side below {least} pixels, two cells of the features at output stride {evidence.output_stride}",
            of(lambda image: min(image.size) < least, size=True),
        ),
        ("image-large", f"longer than {most} pixels", of(lambda image: max(image.size) > most, size=True)),
        ("image-alpha", "with transparency", of(lambda image: bool(image.header and image.header.alpha))),
        ("image-deep", "of more than 8 bits", of(lambda image: bool(image.header and image.header.deep))),
    )
    for kind, words, cases in checks:
        if cases:
            yield found(kind, f"{number_of(len(cases), 'image')} {words}", cases)
    grey = of(lambda image: image.grey)
    if 0 < len(grey) < len(readable):
        yield found("image-grey", f"{number_of(len(grey), 'image')} of {len(readable):,} in grey", grey)


def _all_masks(evidence: Evidence) -> Iterator[tuple[Examined, MaskFacts]]:
    for item in evidence.examined:
        if item.facts.mask is not None:
            yield item, item.facts.mask


def _mask_case(item: Examined, remark: str = "") -> Case:
    return Case((_mask_path(item),), remark)


def _mask_path(item: Examined) -> Path:
    assert item.sample.mask is not None
    return item.sample.mask
