"""Checks of single files and of each mask beside its image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from deeplab._words import number_of
from deeplab.data.doctor.diagnosis import Case, Evidence, Examined, Finding, found, mask_case
from deeplab.data.doctor.inspection import ImageFacts, MaskFacts

__all__ = ["affixes", "check_files"]


def check_files(evidence: Evidence) -> Iterator[Finding]:
    """What is wrong with files, whatever the classes are."""
    yield from _strays(evidence)
    yield from _unreadable(evidence)
    yield from _sizes(evidence)
    yield from _palettes(evidence)
    yield from _smoothed(evidence)
    yield from _pictures(evidence)


def affixes(evidence: Evidence) -> Mapping[tuple[str, str], str]:
    """What mask stems have around those of the images, as in "0042_mask".

    Returns:
        (split, stem of a mask) -> stem of its image, for the masks without an image where half of the images without
        a mask are found in this way.
    """
    paired: dict[tuple[str, str], str] = {}
    lonely = {(stray.split, stray.kind): stray.files for stray in evidence.strays}
    for (split, kind), masks in lonely.items():
        images = {file.stem for file in lonely.get((split, "image without mask"), ())}
        if kind != "mask without image" or not images:
            continue
        stems = [mask.stem for mask in masks]
        around: Counter[tuple[str, str]] = Counter()
        for stem in stems[:5]:
            around.update(tuple(stem.split(image, 1)) for image in images if image in stem)  # type: ignore[misc]
        for (before, after), _ in around.most_common(1):
            names = {f"{before}{image}{after}": image for image in images}
            matching = {(split, stem): names[stem] for stem in stems if stem in names}
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
        pairs = [(mask, image) for (split, mask), image in named.items() if split == stray.split]
        if pairs:
            fix = f"Rename the masks as their images, as in {pairs[0][0]} to {pairs[0][1]}; --fix does."
        kind, missing = stray.kind.replace(" ", "-"), stray.kind.rpartition(" ")[2]
        noun = stray.kind.partition(" ")[0]
        verb = "has" if len(cases) == 1 else "have"
        yield found(kind, f"{number_of(len(cases), noun)} in {stray.split} {verb} no {missing}", cases, fix=fix)


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
        cases = [mask_case(item, mask.problem) for item, mask in _all_masks(evidence) if mask.kind == kind]
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
                stored.append(mask_case(item, f"EXIF orientation {turns[0]}, image {turns[1]}"))
            elif mask.size == image.size[::-1]:
                transposed += 1
                sizes.append(mask_case(item, f"{remark}; transposed"))
            else:
                sizes.append(mask_case(item, remark))
        elif turns[0] != turns[1] and (max(turns) in (2, 3, 4) or image.size[0] == image.size[1]):
            unclear.append(mask_case(item, f"EXIF orientation {turns[0]}, image {turns[1]}"))
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
            in_colors.append(mask_case(item))
        shown = {part.label: mask.header.palette[part.label] for part in mask.labels if part.label < len(classes)
                 and part.label < len(mask.header.palette)}  # fmt: skip
        if len(set(shown.values())) < len(shown):
            continue  # a palette that tells labels apart has a colour for each
        for label, color in shown.items():
            named = of_color.get(color, label)
            if named != label:
                remark = f"label {label} has the colour of class {named}, '{classes[named]}'"
                cases.append(mask_case(item, remark))
                break
    if cases:
        yield found("palette", f"{number_of(len(cases), 'mask')} in which a class has another one's colour", cases)
    if in_colors:
        yield found("mask-in-colours", f"{number_of(len(in_colors), 'mask')} in colours", in_colors)


def _smoothed(evidence: Evidence) -> Iterator[Finding]:
    cases = [
        mask_case(item, f"{mask.between:,} of {mask.border:,} pixels at borders")
        for item, mask in evidence.masks
        if mask.wrong is None and mask.is_smoothed
    ]
    if cases:
        yield found("mask-smoothed", f"{number_of(len(cases), 'mask')} with other classes along the borders", cases)


def _pictures(evidence: Evidence) -> Iterator[Finding]:
    least, most = 2 * evidence.output_stride, evidence.long_side or evidence.largest_side
    readable = [item for item in evidence.examined if item.facts.image.header]

    def scale(image: ImageFacts) -> float:
        return evidence.scale(max(image.size))

    def size(image: ImageFacts) -> str:
        height, width = image.size
        by = scale(image)
        return f"{height} x {width}" + ("" if by == 1 else f", scaled to {by * height:.0f} x {by * width:.0f}")

    def of(
        condition: Callable[[ImageFacts], bool], remark: Callable[[ImageFacts], str] = lambda image: ""
    ) -> list[Case]:
        chosen = [item for item in readable if condition(item.facts.image)]
        return [Case((item.sample.image,), remark(item.facts.image)) for item in chosen]

    checks: Sequence[tuple[str, str, list[Case]]] = (
        ("image-blank", "of one colour only", of(lambda image: image.blank)),
        (
            "image-small",
            f"with a side below {least} pixels, two cells of the features at output stride {evidence.output_stride}",
            of(lambda image: scale(image) * min(image.size) < least, size),
        ),
        ("image-large", f"longer than {most} pixels", of(lambda image: scale(image) < 1, size)),
        ("image-alpha", "with transparency", of(lambda image: bool(image.header and image.header.alpha))),
        (
            "image-several",
            "with more than one picture",
            of(lambda image: image.pictures > 1, lambda image: str(image.pictures)),
        ),
        ("image-deep", "of more than 8 bits", of(lambda image: bool(image.header and image.header.deep))),
    )
    for kind, words, cases in checks:
        if cases:
            yield found(kind, f"{number_of(len(cases), 'image')} {words}", cases)
    yield from _depths(readable)
    grey = of(lambda image: image.grey)
    if 0 < len(grey) < len(readable):
        yield found("image-grey", f"{number_of(len(grey), 'image')} of {len(readable):,} in grey", grey)


def _depths(readable: Sequence[Examined]) -> Iterator[Finding]:
    """Images of more than 8 bits of which not all are scaled alike."""
    seen = [
        (item.sample.image, image.header.white)
        for item in readable
        if (image := item.facts.image).header and not image.blank
    ]  # black is black by any scale
    deep = [(file, white) for file, white in seen if white is not None]
    counts = Counter(white for _, white in deep)
    if len(counts) > 1:
        usual = max(counts, key=lambda white: (counts[white], white))
        cases = [Case((file,), f"0..{white}, others 0..{usual}") for file, white in deep if white != usual]
        what = f"{number_of(len(cases), 'image')} of {len(deep):,} scaled by another bit depth than others"
        yield found("image-depths", what, cases)


def _all_masks(evidence: Evidence) -> Iterator[tuple[Examined, MaskFacts]]:
    for item in evidence.examined:
        if item.facts.mask is not None:
            yield item, item.facts.mask
