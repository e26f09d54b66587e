"""`deeplab compare MODEL_A MODEL_B DATA`"""

from __future__ import annotations

from json import loads
from typing import TYPE_CHECKING

from deeplab import api
from deeplab.cli._options import Json
from deeplab.cli._terminal import print_images, print_json, print_table, progress
from deeplab.settings import CompareSettings

if TYPE_CHECKING:
    from deeplab.metrics import Interval


def compare(settings: CompareSettings, *, json: Json = False) -> None:
    """Measure two models on the same images. Differences are MODEL_B less MODEL_A."""
    from deeplab.evaluation import NAMES, shown

    comparison = api.compare(**settings.as_dict(), progress=progress)
    first, second = comparison.first, comparison.second

    def row(name: str, ours: Interval, theirs: Interval, difference: Interval) -> tuple[str, ...]:
        change = shown(difference.value, signed=True), difference.ends(signed=True)
        return name, shown(ours.value), shown(theirs.value), *change

    rows = [
        row(name, first.iou_intervals[name], second.iou_intervals[name], difference)
        for name, difference in comparison.iou_differences.items()
    ] + [
        row(NAMES[name], first.intervals[name], second.intervals[name], difference)
        for name, difference in comparison.differences.items()
    ]
    columns = (settings.model, settings.other, "Difference", "95 %")
    print_table(("IoU", *columns), rows, figures=columns)
    print_images(first.images, settings.data, settings.split)
    print(comparison.verdict((settings.model, settings.other)))
    if settings.report:
        print(f"the page is {settings.report}")
    if json:
        print_json(loads(comparison.to_json()))
