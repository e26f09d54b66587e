"""From a data set to what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from deeplab._machine import cores
from deeplab._progress import Progress, no_progress
from deeplab.data.dataset import DataSet, Stray
from deeplab.data.doctor.copy_checks import check_copies
from deeplab.data.doctor.diagnosis import Diagnosis, Evidence, Examined, Finding
from deeplab.data.doctor.file_checks import check_files
from deeplab.data.doctor.inspection import Inspection, inspect
from deeplab.data.doctor.kinds import KINDS
from deeplab.data.doctor.label_checks import check_labels
from deeplab.data.doctor.remembered import RememberedFacts
from deeplab.data.sample import Sample
from deeplab.settings import LARGEST_SIDE

__all__ = ["examine"]


def examine(
    dataset: DataSet,
    *,
    strays: Sequence[Stray] = (),
    output_stride: int = 16,
    long_side: int | None = None,
    largest_side: int = LARGEST_SIDE["cpu"],
    progress: Progress = no_progress,
) -> Diagnosis:
    """Read every file of `dataset` once, and judge what was read.

    What was read is remembered until a file changes.

    Args:
        strays: The files that are part of no sample, as `survey` lists them.
        output_stride: Of the network that is to learn it.
        long_side: Longer side that a training resizes the images to, in pixels; None: larger ones to `largest_side`.
        largest_side: In pixels, as the training's device has it.
        progress: Shows how far it is: `with progress(title, total=images) as advance`.
    """
    places = [(split, sample) for split, samples in dataset.splits.items() for sample in samples]
    facts = _inspected([sample for _, sample in places], dataset.origin, progress)
    examined = tuple(Examined(*place, seen) for place, seen in zip(places, facts, strict=True))
    evidence = Evidence(dataset, examined, tuple(strays), output_stride, long_side, largest_side)
    findings: list[Finding] = []
    for check in (check_files, check_labels, check_copies):
        findings += check(evidence)
    order = list(KINDS)
    return Diagnosis(evidence, tuple(sorted(findings, key=lambda finding: order.index(finding.kind))))


def _inspected(samples: Sequence[Sample], dataset: DataSet, progress: Progress) -> list[Inspection]:
    """The facts of each sample; what is not remembered is read by as many threads as there are cores."""
    with RememberedFacts(dataset, samples) as remembered:
        known = {sample: facts for sample in samples if (facts := remembered.get(sample))}
        unknown = list(dict.fromkeys(sample for sample in samples if sample not in known))
        threads = ThreadPoolExecutor(cores(), thread_name_prefix="doctor")
        try:
            reading = threads.map(partial(inspect, dataset=dataset), unknown)
            with progress("Examining", total=len(unknown)) as advance:
                for sample, facts in zip(unknown, reading, strict=True):
                    known[sample] = remembered.put(sample, facts)
                    advance()
        finally:  # also after Ctrl-C
            threads.shutdown(cancel_futures=True)
    return [known[sample] for sample in samples]
