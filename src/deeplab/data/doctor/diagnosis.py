"""What the doctor found, and what was counted on the way."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deeplab._words import number_of
from deeplab.data.dataset import DataSet, Stray
from deeplab.data.doctor.inspection import Inspection, MaskFacts, is_ignored
from deeplab.data.doctor.kinds import KINDS, SEVERITIES, Severity
from deeplab.data.sample import Part, Sample
from deeplab.kernels.label_map import OCTAVES

__all__ = [
    "Case",
    "Count",
    "Diagnosis",
    "Evidence",
    "Examined",
    "Finding",
    "Repair",
    "RepairDone",
    "found",
    "mask_case",
    "shown_path",
]

SHOWN = 3
"""Cases that a finding names in its sentence."""


@dataclass(frozen=True)
class Case:
    """One place where a finding shows."""

    files: tuple[Part, ...]
    """One file, or those that are alike."""
    remark: str = ""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or good to know, with all the files that show it."""

    kind: str
    what: str
    """As in "3 masks do not have the size of their image"."""
    cases: tuple[Case, ...] = ()
    fix: str = ""
    """The way out."""

    @property
    def severity(self) -> Severity:
        """A training refuses an error."""
        return KINDS[self.kind].severity

    @property
    def why(self) -> str:
        """Why it matters."""
        return KINDS[self.kind].why

    @property
    def repair(self) -> str:
        """What `--fix` does about it; "": nothing."""
        return KINDS[self.kind].repair

    @property
    def advice(self) -> str:
        """Why it matters, the way out, and what `--fix` does, unless the way out has said so."""
        said = not self.repair or "--fix" in self.fix
        return f"{self.why} {self.fix}" if said else f"{self.why} {self.fix} With --fix: {self.repair}."

    def sentence(self, root: Path) -> str:
        """What it is, with the first cases."""
        shown = [_in_words(case, root) for case in self.cases[:SHOWN]]
        if len(self.cases) > SHOWN:
            shown.append(f"and {len(self.cases) - SHOWN} more")
        return f"{self.what}: {', '.join(shown)}" if shown else self.what


class Examined(NamedTuple):
    """A sample and what it is."""

    split: str
    sample: Sample
    facts: Inspection


class Count(NamedTuple):
    """The labelled pixels of a split by class."""

    pixels: NDArray[np.int64]
    """(num_classes,)."""
    images: NDArray[np.int64]
    """In how many masks the class is, (num_classes,)."""
    ignored: int
    """Pixels that do not count."""
    masks: int
    """How many were counted."""
    objects: NDArray[np.int64]
    """Connected parts by class and octave of their area, (num_classes, OCTAVES)."""
    object_pixels: NDArray[np.int64]
    """Their pixels, (num_classes, OCTAVES)."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Everything that the checks judge."""

    dataset: DataSet
    examined: tuple[Examined, ...]
    strays: tuple[Stray, ...]
    output_stride: int
    long_side: int | None
    """Pixels that a training scales the longer side of every image to; None: that of larger ones to `largest_side`."""
    largest_side: int

    @property
    def origin(self) -> DataSet:
        """The data set as it is in the files."""
        return self.dataset.origin

    def scale(self, long_side: float) -> float:
        """By what a training multiplies the size of an image whose longer side has so many pixels."""
        return min(1.0, self.largest_side / long_side) if self.long_side is None else self.long_side / long_side

    @cached_property
    def masks(self) -> tuple[tuple[Examined, MaskFacts], ...]:
        """Those whose labels could be read."""
        return tuple(
            (item, item.facts.mask) for item in self.examined if item.facts.mask and not item.facts.mask.problem
        )

    @cached_property
    def counts(self) -> Mapping[str, Count]:
        """By split, of the labels that are classes."""
        masks: dict[str, list[MaskFacts]] = {split: [] for split in self.dataset.splits}
        for item, mask in self.masks:
            masks[item.split].append(mask)
        return {split: self._count(those) for split, those in masks.items()}

    def _count(self, masks: Sequence[MaskFacts]) -> Count:
        num_classes, classes = len(self.origin.classes), len(self.dataset.classes)
        lookup = None if self.dataset.regrouped is None else self.dataset.regrouped.lookup
        pixels, images = (np.zeros(classes, np.int64) for _ in range(2))
        objects, object_pixels = (np.zeros((classes, OCTAVES), np.int64) for _ in range(2))
        ignored = 0
        for mask in masks:
            seen = set()
            for part in mask.labels:
                label = part.label
                if is_ignored(label, num_classes=num_classes, bits=mask.bits):
                    ignored += part.pixels
                    continue
                if label >= num_classes:
                    continue
                if lookup is not None:
                    label = int(lookup[label])
                    if label >= classes:
                        ignored += part.pixels
                        continue
                seen.add(label)
                pixels[label] += part.pixels
                objects[label, : len(part.objects)] += part.objects
                object_pixels[label, : len(part.object_pixels)] += part.object_pixels
            images[list(seen)] += 1
        return Count(pixels, images, ignored, len(masks), objects, object_pixels)


class RepairDone(NamedTuple):
    """One change of a repaired copy."""

    file: str
    """Its path inside the data set."""
    what: str


@dataclass(frozen=True)
class Repair:
    """A repaired copy."""

    folder: Path
    samples: int
    """How many images it has."""
    done: tuple[RepairDone, ...]
    left: tuple[Finding, ...]
    """The errors of the copy: that there is nothing to train on, where there was nothing before."""


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """The findings, errors first, and the figures of the data set."""

    evidence: Evidence
    findings: tuple[Finding, ...]
    repair: Repair | None = None
    """What was written where it was asked for."""

    def __repr__(self) -> str:
        return f"Diagnosis({self.summary()})"

    @property
    def dataset(self) -> DataSet:
        """The data set that was examined."""
        return self.evidence.dataset

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What a training refuses."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    def number(self, severity: Severity) -> int:
        """How many findings are of this severity."""
        return sum(finding.severity == severity for finding in self.findings)

    def summary(self) -> str:
        """As in "1 error, 0 warnings, 2 notes in 10 train, 2 val images"."""
        numbers = ", ".join(number_of(self.number(severity), severity) for severity in SEVERITIES)
        images = ", ".join(f"{len(samples):,} {split}" for split, samples in self.dataset.splits.items())
        return f"{numbers} in {images} images"

    def to_json(self) -> str:
        """One line: data, images and masks by split, classes, findings, errors, warnings, notes."""
        root, counts = self.dataset.root, self.evidence.counts
        findings: list[dict[str, Any]] = [
            {
                "kind": finding.kind,
                "severity": finding.severity,
                "what": finding.what,
                "why": finding.why,
                "fix": finding.fix,
                "cases": [
                    {"files": [shown_path(file, root) for file in case.files], "remark": case.remark}
                    for case in finding.cases
                ],
            }
            for finding in self.findings
        ]
        classes = {
            name: {
                "pixels": {split: int(count.pixels[index]) for split, count in counts.items()},
                "images": {split: int(count.images[index]) for split, count in counts.items()},
            }
            for index, name in enumerate(self.dataset.classes)
        }
        figures = {
            "data": str(root),
            "images": {split: len(samples) for split, samples in self.dataset.splits.items()},
            "classes": classes,
            "findings": findings,
            **{f"{severity}s": self.number(severity) for severity in SEVERITIES},
        }
        return json.dumps(figures, ensure_ascii=False)


def found(kind: str, what: str, cases: Iterable[Case] = (), *, fix: str = "") -> Finding:
    """A finding, with the way out of its kind unless it has one of its own."""
    return Finding(kind, what, tuple(cases), fix or KINDS[kind].fix)


def mask_case(item: Examined, remark: str = "") -> Case:
    """The mask of a sample that has one."""
    assert item.sample.mask is not None
    return Case((item.sample.mask,), remark)


def shown_path(part: Part, root: Path) -> str:
    """The file's path inside the data set, or what else errors call it."""
    if isinstance(part, Path) and part.is_relative_to(root):
        return part.relative_to(root).as_posix()
    return str(part)


def _in_words(case: Case, root: Path) -> str:
    files = " = ".join(shown_path(file, root) for file in case.files[:SHOWN])
    more = f" = {len(case.files) - SHOWN} more" if len(case.files) > SHOWN else ""
    return f"{files}{more}" + (f" ({case.remark})" if case.remark else "")
