"""A repaired copy of a data set in the plain layout: what can be repaired without a guess is, the rest is left out.

The data set itself is never touched. The copy is written aside, examined in its turn, and only then gets its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeplab._progress import Progress, no_progress
from deeplab.data.dataset import DataSet, fix_command, open_dataset
from deeplab.data.doctor.copy_checks import find_twins
from deeplab.data.doctor.diagnosis import Diagnosis, Evidence, Examined, Finding, Repair, RepairDone, shown_path
from deeplab.data.doctor.examination import examine
from deeplab.data.doctor.file_checks import affixes
from deeplab.data.doctor.inspection import GREY, inspect, is_ignored, raw_labels
from deeplab.data.doctor.numbering import Labels, Numbering, find_numbering
from deeplab.data.sample import Part, Sample
from deeplab.errors import DataError, OutputError
from deeplab.files import File, check_writable, distinct_stems, folder_written_aside
from deeplab.images import IMAGE_SUFFIXES, read_image, resize_labels, turn_upright, write_image, write_labels

__all__ = ["check_place", "repair", "repair_hint"]

FEW = 0.05
"""Share of a mask's pixels that may mean nothing and are ignored; with more of them the mask is left out."""

NEAR = 48
"""How far, in 0..255 of each band, a colour may be from that of a class to be taken for it in a lossy mask."""

SHAPE = 0.02
"""By how much the ratio of the sides of a mask may differ from that of its image, for both to show the same."""


TURNED_BACK = {6: 8, 8: 6}
"""EXIF orientation -> the one that undoes it; each other undoes itself."""

REASONS = {
    "image without mask": "left out: it has no mask",
    "mask without image": "left out: it has no image",
    "same stem": "left out: another file has the same stem",
}


class _Unrepairable(Exception):
    """A sample that is left out; the text says why."""


def check_place(folder: Path, root: Path) -> None:
    """Raise OutputError where a repaired copy of the data set in `root` cannot be written to `folder`."""
    inside = folder.resolve().is_relative_to(root.resolve())
    if inside or folder.exists():
        why = "lies inside the data set" if inside else "is there already"
        raise OutputError(f"{folder} {why}; name another folder by --fix")
    check_writable(folder, folder=True)


def repair(diagnosis: Diagnosis, folder: Path, *, progress: Progress = no_progress) -> Diagnosis:
    """Write a repaired copy to `folder`, and return the diagnosis with what was done; `progress` as in `examine`.

    Raises:
        OutputError: The folder is there already, or cannot be written.
        DataError: The copy has errors, too: nothing is written then.
    """
    evidence = diagnosis.evidence
    check_place(folder, evidence.origin.root)
    with folder_written_aside(folder) as aside:
        done, samples = _write(evidence, aside, progress)
        lines = [f"{each.file}: {each.what}\n" for each in done]
        (aside / "repairs.txt").write_text("".join(lines), encoding="utf-8")
        left = _check(aside, diagnosis, progress)
    return replace(diagnosis, repair=Repair(folder, samples, tuple(done), left))


def repair_hint(diagnosis: Diagnosis) -> str:
    """The command for a repaired copy, or that it would write nothing; "" where a repair is for notes at most."""
    if not any(finding.repair and finding.severity != "note" for finding in diagnosis.findings):
        return ""
    lost = _lost_split(diagnosis.evidence)
    if lost is not None:
        return f"--fix would write nothing: no sample of {lost} can be repaired"
    return f"'{fix_command(diagnosis.dataset.root)}' writes a repaired copy"


def _lost_split(evidence: Evidence) -> str | None:
    """A split that `repair` can keep no sample of, so that nothing is written; None where it keeps some of each.

    Of each split, masks are read up to the first one that is kept.
    """
    plan = _Plan.of(evidence)
    wanted = {split: None for split, samples in evidence.dataset.splits.items() if samples}
    wanted |= {stray.split: None for stray in evidence.strays if stray.split == "train"}  # without it, an error is left
    for split in wanted:
        if not any(into == split and plan.keeps(item) for item, into in plan.samples):
            return split
    return None


@dataclass(frozen=True, eq=False)
class _Plan:
    """What all samples together say of how each of them is repaired."""

    evidence: Evidence
    """With those in `paired`."""
    paired: tuple[Examined, ...]
    """The samples that are whole once their masks are named as the images are."""
    splits: tuple[str, ...]
    """That of each sample in the copy."""
    numbering: Numbering
    binary: bool
    """As `_is_binary`."""
    twins: Mapping[tuple[str, File], File]
    """As `_second_copies`."""

    @classmethod
    def of(cls, evidence: Evidence) -> _Plan:
        paired = tuple(_paired_anew(evidence))
        evidence = replace(evidence, examined=(*evidence.examined, *paired))
        return cls(
            evidence,
            paired,
            splits=tuple(_splits(evidence.examined)),
            numbering=find_numbering(evidence),
            binary=_is_binary(evidence),
            twins=_second_copies(evidence),
        )

    @property
    def samples(self) -> Iterator[tuple[Examined, str]]:
        """Each sample and its split in the copy."""
        return zip(self.evidence.examined, self.splits, strict=True)

    def keeps(self, item: Examined) -> bool:
        """Whether the sample gets into the copy."""
        try:
            self.labels(item)
        except _Unrepairable:
            return False
        return True

    def labels(self, item: Examined) -> tuple[Labels | None, list[str]]:
        """The labels as they should be, None without a mask, and what was changed.

        Raises:
            _Unrepairable: The sample is to be left out.
        """
        if twin := self.twins.get((item.split, item.sample.image)):
            raise _Unrepairable(f"the same file as {shown_path(twin, self.evidence.origin.root)}")
        if item.facts.image.header is None:
            raise _Unrepairable(f"cannot be read ({item.facts.image.problem})")
        if item.sample.mask is None:
            return None, []
        return _labels(item, self.evidence.origin, self.numbering, binary=self.binary)


def _write(evidence: Evidence, folder: Path, progress: Progress) -> tuple[list[RepairDone], int]:
    """Write what can be saved, and return what was done and the number of samples."""
    origin = evidence.origin
    root, done, samples = origin.root, [], 0
    plan = _Plan.of(evidence)
    stems = _stems(plan.samples)
    (folder / "classes.txt").write_text("".join(_class_list(origin)), encoding="utf-8")
    found = {file for item in plan.paired for file in (item.sample.image, item.sample.mask)}
    written: set[tuple[str, str]] = set()
    for stray in evidence.strays:
        reason = REASONS[stray.kind]
        done += [RepairDone(shown_path(file, root), reason) for file in stray.files if file not in found]
    for item in plan.paired:
        assert item.sample.mask is not None
        stem = stems[item.split, item.sample.image]
        done.append(RepairDone(shown_path(item.sample.mask, root), f"renamed as {stem}.png"))
    with progress("Repairing", total=len(plan.splits)) as advance:
        for item, split in plan.samples:
            try:
                stem = stems[split, item.sample.image]
                if (split, stem) in written:
                    raise _Unrepairable("it is listed twice")
                changes = _write_sample(item, stem, plan, folder / split)
                if split != item.split:
                    changes.append((item.sample.image, f"put into the split {split}, as it has no mask"))
                written.add((split, stem))
                done += [RepairDone(shown_path(file, root), what) for file, what in changes]
                samples += 1
            except _Unrepairable as reason:
                done.append(RepairDone(shown_path(item.sample.image, root), f"left out: {reason}"))
            advance()
    return done, samples


def _class_list(dataset: DataSet) -> Iterator[str]:
    """The lines of classes.txt; of classes of one colour, as several ids of Cityscapes are, the first has it."""
    colors = list(map(tuple, dataset.palette.tolist()))
    for index, name in enumerate(dataset.classes):
        color = () if colors[index] in colors[:index] else colors[index]
        yield " ".join(map(str, (name, *color))) + "\n"


def _paired_anew(evidence: Evidence) -> list[Examined]:
    """The samples that are whole once their masks are named as the images are."""
    files = {(stray.kind, stray.split, file.stem): file for stray in evidence.strays for file in stray.files}
    found = []
    for (split, stem), image_stem in affixes(evidence).items():
        image = files["image without mask", split, image_stem]
        sample = Sample(image, files["mask without image", split, stem])
        found.append(Examined(split, sample, inspect(sample, evidence.origin)))
    return found


def _second_copies(evidence: Evidence) -> dict[tuple[str, File], File]:
    """(split to learn from, image) -> the image of a split to measure on that it is, byte for byte."""
    found = {}
    for one, other, same in find_twins(evidence):
        learnt, measured = (one, other) if one.split.startswith("train") else (other, one)
        if same and learnt.split.startswith("train") and not measured.split.startswith("train"):
            found[learnt.split, learnt.sample.image] = measured.sample.image
    return found


def _splits(examined: Iterable[Examined]) -> list[str]:
    """The split of each sample in the copy: a split of the plain layout has masks of all its images or of none."""
    labelled = {item.split for item in examined if item.sample.mask is not None}
    return [
        f"{item.split}_unlabelled" if item.sample.mask is None and item.split in labelled else item.split
        for item in examined
    ]


def _stems(samples: Iterable[tuple[Examined, str]]) -> dict[tuple[str, File], str]:
    """(split, image) -> the stem of its copy: that of the image, with a number where another image has the same.

    A split of the plain layout is one folder, where sub-folders, shards or rows of a table may have had equal names.
    """
    images: dict[str, dict[File, None]] = {}
    for item, split in samples:
        images.setdefault(split, {})[item.sample.image] = None  # once, though it may be listed twice
    return {
        (split, image): stem
        for split, those in images.items()
        for image, stem in zip(those, distinct_stems(those), strict=True)
    }


def _write_sample(item: Examined, stem: str, plan: _Plan, folder: Path) -> list[tuple[Part, str]]:
    """Write image and mask under this stem, and return the changes. Raises _Unrepairable."""
    sample, header = item.sample, item.facts.image.header
    labels, done = plan.labels(item)
    assert header is not None
    changes: list[tuple[Part, str]] = []
    if sample.mask is not None:
        changes = [(sample.mask, what) for what in done]
    if stem != sample.image.stem:
        changes.append((sample.image, f"named {stem}, as another image is called {sample.image.stem}"))
    (folder / "images").mkdir(parents=True, exist_ok=True)
    if header.orientation == 1:
        suffix = Path(sample.image.name).suffix
        suffix = suffix if suffix.lower() in IMAGE_SUFFIXES else header.suffix
        (folder / "images" / f"{stem}{suffix}").write_bytes(sample.image.read_bytes())
    else:
        write_image(folder / "images" / f"{stem}.png", read_image(sample.image))
        changes.append((sample.image, f"turned upright, EXIF orientation {header.orientation}"))
    if labels is not None:
        write_labels(folder / "masks" / f"{stem}.png", labels, palette=plan.evidence.origin.palette)
    return changes


def _labels(item: Examined, dataset: DataSet, numbering: Numbering, *, binary: bool) -> tuple[Labels, list[str]]:
    """The labels of the mask as they should be, and what was changed. Raises _Unrepairable."""
    mask, image = item.facts.mask, item.facts.image
    assert mask is not None
    assert image.header is not None
    changes: list[str] = []
    if mask.problem:
        labels, change = _labels_by_nearness(item, dataset, binary=binary)
        changes.append(change)
    else:
        assert item.sample.mask is not None
        labels = raw_labels(item.sample.mask, dataset, image.size)
        if numbering.renumbered is not None:
            labels = numbering.renumbered(labels)
            changes.append(f"renumbered, {numbering.name}")
        elif mask.header is not None and mask.header.mode in ("RGB", "RGBA"):
            changes.append("colours written as class numbers")
    if labels.shape != image.size:
        labels, change = _fitted(labels, item)
        changes.append(change)
    num_classes = len(dataset.classes)
    values = np.unique(labels).tolist()
    bits = 8 * labels.dtype.itemsize
    ignored = [value for value in values if is_ignored(value, num_classes=num_classes, bits=bits)]
    odd = np.isin(labels, [value for value in values if value >= num_classes and value not in ignored])
    if odd.mean() > FEW:
        raise _Unrepairable(f"{odd.mean():.0%} of the mask's pixels have labels that are no class")
    if odd.any():
        changes.append(f"{odd.sum():,} pixels with labels that are no class are ignored")
    dtype = np.uint8 if dataset.ignore_index == 255 else np.uint16
    return np.where(odd | np.isin(labels, ignored), dtype(dataset.ignore_index), labels).astype(dtype), changes


def _fitted(labels: Labels, item: Examined) -> tuple[Labels, str]:
    """Labels turned or scaled to the size of their image. Raises _Unrepairable."""
    mask, image = item.facts.mask, item.facts.image
    assert mask is not None
    assert image.header is not None
    size = f"{labels.shape[0]} x {labels.shape[1]}, image {image.size[0]} x {image.size[1]}"
    if mask.header is not None and mask.header.size == image.header.size:
        stored = turn_upright(labels, TURNED_BACK.get(mask.header.orientation, mask.header.orientation))
        return turn_upright(stored, image.header.orientation), "turned as its image is"
    ratio = labels.shape[0] * image.size[1] / (labels.shape[1] * image.size[0])
    if abs(ratio - 1) > SHAPE:
        raise _Unrepairable(f"the mask is {size}")
    return resize_labels(labels, image.size), f"scaled to the size of its image: {size}"


def _labels_by_nearness(item: Examined, dataset: DataSet, *, binary: bool) -> tuple[Labels, str]:
    """Labels of a mask in colours that are not quite those of the classes. Raises _Unrepairable."""
    mask = item.facts.mask
    assert mask is not None
    pixels = _colors_of(item)
    if pixels is None:
        raise _Unrepairable(f"the mask cannot be used ({mask.problem})")
    colors = dataset.palette.astype(np.int16)
    if binary and _is_black_and_white(pixels):
        colors = np.array([[0] * 3, [255] * 3], np.int16)
    lossy = mask.kind == "mask-lossy"
    tolerance = NEAR if lossy else 0
    labels = np.full(pixels.shape[:2], dataset.ignore_index, np.uint8 if dataset.ignore_index == 255 else np.uint16)
    nearest = np.full(pixels.shape[:2], tolerance + 1)
    for label, color in enumerate(colors):
        distance = np.abs(pixels - color).max(axis=-1)
        labels[distance < nearest] = label
        nearest = np.minimum(nearest, distance)
    far = (nearest > tolerance).mean()
    if far > FEW:
        raise _Unrepairable(f"{far:.0%} of the mask's pixels are of no class's colour")
    if lossy and not binary and _is_grey(pixels):
        one_band = mask.header is not None and mask.header.mode == "L"
        one_class = len(np.unique(labels[nearest <= tolerance])) == 1
        if (one_band and not _is_grey(colors)) or (one_class and np.ptp(pixels) > 0):
            raise _Unrepairable("its greys are numbers, not the classes' colours, and compression changed them")
    return labels, f"each pixel became the class of its colour; {far:.2%} of them, near to none, are ignored"


def _is_binary(evidence: Evidence) -> bool:
    """Whether the masks in colours are of black for the first of two classes and white for the second.

    One of them has to have white: in a mask that is all but black, 0 and 1 may have stood for the classes.
    """
    if len(evidence.origin.classes) != 2:
        return False
    masks = (pixels for item in evidence.examined if (pixels := _colors_of(item)) is not None)
    return any(_is_black_and_white(pixels) and bool((pixels > 255 - NEAR).any()) for pixels in masks)


def _colors_of(item: Examined) -> NDArray[np.int16] | None:
    """The pixels (H, W, 3) of a mask in colours that are not quite those of the classes; None: it is none."""
    mask = item.facts.mask
    if mask is None or mask.kind not in ("mask-lossy", "mask-colours") or not isinstance(item.sample.mask, Path):
        return None
    return read_image(item.sample.mask).astype(np.int16)


def _is_black_and_white(pixels: NDArray[np.int16]) -> bool:
    return float(((pixels < NEAR).all(axis=-1) | (pixels > 255 - NEAR).all(axis=-1)).mean()) > 1 - FEW


def _is_grey(colors: NDArray[np.int16]) -> bool:
    return bool(np.ptp(colors, axis=-1).max() <= GREY)


def _check(folder: Path, diagnosis: Diagnosis, progress: Progress) -> tuple[Finding, ...]:
    """The errors of the copy that no repair is for. Raises DataError where it has others."""
    evidence = diagnosis.evidence
    name = f"what can be repaired of {evidence.origin.root}"
    for split, samples in evidence.dataset.splits.items():
        if samples and not (folder / split).is_dir():
            raise DataError(f"{name} has nothing of {split}; 'deeplab doctor' without --fix says what is wrong")
    copy = examine(
        open_dataset(folder),
        output_stride=evidence.output_stride,
        long_side=evidence.long_side,
        largest_side=evidence.largest_side,
        progress=progress,
    )
    for finding in copy.errors:
        if finding.kind != "no-train" or finding.kind not in {before.kind for before in diagnosis.errors}:
            raise DataError(f"{name} still has an error: {finding.sentence(folder)}; {finding.fix}")
    return copy.errors
