"""`deeplab tune-crf MODEL DATA`"""

from __future__ import annotations

import math

from deeplab import api
from deeplab._words import number_of
from deeplab.cli._options import Json
from deeplab.cli._terminal import print_json, print_table, progress, warn
from deeplab.settings import TuneCRFSettings


def tune_crf(settings: TuneCRFSettings, *, json: Json = False) -> None:
    """Search the dense CRF that suits a model and its images.

    The kernels are chosen on half of the images, and the others tell whether they help. Interrupted, the same
    command goes on.
    """
    try:
        report = api.tune_crf(**settings.as_dict(), progress=progress)
    except KeyboardInterrupt:
        warn(f"what is finished is kept in {settings.trials}; the same command goes on from there")
        raise
    rows = [(trial.name, trial.miou) for trial in report.trials] + [("without", report.miou_of_choice)]
    rows.sort(key=lambda row: -1 if math.isnan(row[1]) else row[1], reverse=True)
    print_table(("CRF", "mIoU"), [(name, f"{figure:.4f}") for name, figure in rows], figures=("mIoU",))
    chosen_on = number_of(report.images_of_choice, "image")
    print(f"mIoU on the {chosen_on} of {settings.data}, {settings.split}, to choose on")
    print(f"Measured on {report.images} others, with 95 % intervals over images:")
    print(f"without\t{report.without}")
    print(f"{report.best.name}\t{report.sharpened}")
    print(f"gain\t{report.gain}")
    print(report.verdict)
    print(f"'deeplab segment --crf {settings.output}' takes the best; {settings.trials} can be deleted")
    if json:
        print_json(report.as_dict() | {"output": str(settings.output)})
