"""`deeplab evaluate MODEL DATA`"""

from __future__ import annotations

from json import loads
from typing import Any

from deeplab import api
from deeplab.cli._options import Json
from deeplab.cli._terminal import print_json, print_table, progress
from deeplab.settings import EvaluateSettings

NAMES = {"miou": "mIoU", "pixel_accuracy": "pixel accuracy", "mean_accuracy": "mean accuracy"}


def evaluate(settings: EvaluateSettings, *, json: Json = False) -> None:
    """Measure a model on a data set, each image at its own size."""
    from deeplab.data import open_dataset

    total = len(open_dataset(settings.data, format=settings.format).split(settings.split)[: settings.limit])
    with progress("Evaluating", total=total) as advance:
        report = api.evaluate(**settings.as_dict(), on_image=lambda *_: advance())
    figures: dict[str, Any] = loads(report.to_json())
    pixels = max(1, sum(report.pixels.values()))
    rows = [(name, _figure(iou), f"{report.pixels[name] / pixels:.1%}") for name, iou in report.iou.items()]
    print_table(("Class", "IoU", "Share"), rows, figures=("IoU", "Share"))
    for name, words in NAMES.items():
        print(f"{words}\t{_figure(figures[name])}")
    print(f"{report.images} images of {settings.data}, {settings.split}")
    if settings.output:
        print(f"the report and the label maps are in {settings.output}")
    if json:
        print_json(figures)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
