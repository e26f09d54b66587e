"""`deeplab doctor DATA`"""

from __future__ import annotations

from collections.abc import Iterator
from json import loads
from typing import TYPE_CHECKING, Any

import typer

from deeplab import api
from deeplab._progress import progress
from deeplab._words import number_of
from deeplab.cli._options import Json
from deeplab.cli._terminal import print_json, print_table
from deeplab.settings import DoctorSettings

if TYPE_CHECKING:
    from deeplab.data.doctor import Diagnosis

REPAIRS_SHOWN = 10


def doctor(settings: DoctorSettings, *, json: Json = False) -> None:
    """Check a data set before anybody trains on it. The exit status is 1 where a training would refuse it."""
    from deeplab.data.doctor import repair_hint

    diagnosis = api.doctor(**settings.as_dict(), progress=progress)
    splits = list(diagnosis.dataset.splits)
    print_table(("Class", *splits), _shares(diagnosis), figures=splits)
    for finding in diagnosis.findings:
        print(f"{finding.severity}: {finding.sentence(diagnosis.dataset.root)}")
        print(f"    {finding.advice}")
    print(f"{settings.data}: {diagnosis.summary()}")
    if not settings.fix and (hint := repair_hint(diagnosis)):
        print(hint)
    if settings.report:
        print(f"the report is {settings.report}")
    if diagnosis.repair:
        _print_repairs(diagnosis)
    if json:
        print_json(_figures(diagnosis, settings))
    left = diagnosis.errors if diagnosis.repair is None else diagnosis.repair.left
    if left:
        raise typer.Exit(1)


def _shares(diagnosis: Diagnosis) -> Iterator[tuple[str, ...]]:
    """A row for each class with its share of the labelled pixels of each split."""
    counts = diagnosis.evidence.counts.values()
    for index, name in enumerate(diagnosis.dataset.classes):
        shares = (count.pixels[index] / max(1, count.pixels.sum()) if count.masks else None for count in counts)
        yield name, *("-" if share is None else f"{share:.2%}" if share else "0" for share in shares)


def _print_repairs(diagnosis: Diagnosis) -> None:
    """What was done, and where the copy is."""
    repair = diagnosis.repair
    assert repair is not None
    for done in repair.done[:REPAIRS_SHOWN]:
        print(f"repaired: {done.file}: {done.what}")
    if len(repair.done) > REPAIRS_SHOWN:
        print(f"repaired: {len(repair.done) - REPAIRS_SHOWN} more; all are in {repair.folder / 'repairs.txt'}")
    left = ", ".join(finding.what for finding in repair.left) or "no errors left"
    print(f"{repair.folder}: {number_of(repair.samples, 'image')}, {number_of(len(repair.done), 'repair')}, {left}")


def _figures(diagnosis: Diagnosis, settings: DoctorSettings) -> dict[str, Any]:
    """What `--json` prints."""
    found: dict[str, Any] = loads(diagnosis.to_json())
    repair = diagnosis.repair
    found["report"] = str(settings.report) if settings.report else None
    found["fixed"] = repair and {
        "folder": str(repair.folder),
        "images": repair.samples,
        "repairs": [{"file": done.file, "what": done.what} for done in repair.done],
    }
    return found
