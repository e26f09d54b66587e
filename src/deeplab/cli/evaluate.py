"""`deeplab evaluate MODEL DATA`"""

from __future__ import annotations

import math
from json import loads

from deeplab import api
from deeplab.cli._options import Json
from deeplab.cli._terminal import print_images, print_json, print_table, progress
from deeplab.settings import EvaluateSettings


def evaluate(settings: EvaluateSettings, *, json: Json = False) -> None:
    """Measure a model on a data set, each image at its own size."""
    from deeplab.evaluation import NAMES, shown

    report = api.evaluate(**settings.as_dict(), progress=progress)
    pixels = max(1, sum(report.pixels.values()))
    rows = [
        (name, shown(iou.value), iou.ends(), f"{report.pixels[name] / pixels:.1%}")
        for name, iou in report.iou_intervals.items()
    ]
    print_table(("Class", "IoU", "95 %", "Share"), rows, figures=("IoU", "95 %", "Share"))
    for name, interval in report.intervals.items():
        print(f"{NAMES[name]}\t{shown(interval.value)}\t{interval.ends()}")
    if report.boundaries:
        for width, miou in report.boundaries.trimap_miou.items():
            print(f"mIoU within {width} px of a border\t{shown(miou)}")
    if report.calibration is not None:
        print(f"calibration error\t{shown(report.calibration_error)}")
    print_images(report.images, settings.data, settings.split)
    if math.isnan(report.pixel_accuracy):
        print("every pixel of the masks is to be ignored, so that nothing was measured; take other images")
    if settings.output:
        print(f"the report and the label maps are in {settings.output}")
    if settings.report:
        print(f"the page is {settings.report}")
    if json:
        print_json(loads(report.to_json()))
