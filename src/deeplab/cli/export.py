"""`deeplab export MODEL`"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeplab import api
from deeplab._words import number_of
from deeplab.cli._options import Json
from deeplab.cli._terminal import print_json, print_table, progress
from deeplab.settings import ExportSettings

if TYPE_CHECKING:
    from deeplab.evaluation import Parity
    from deeplab.runtimes import Int8


def export(settings: ExportSettings, *, json: Json = False) -> None:
    """Write a model for an inference engine, and compare the two."""
    figures: dict[str, Any] = {"format": settings.format, "images": 0}

    def report(parity: Parity, int8: Int8 | None) -> None:
        if int8:
            figures["float32_layers"] = list(int8.kept)
            print(f"8-bit convolutions; in {settings.precision}: {', '.join(int8.kept) or 'none'}")
        figures.update(_figures(parity))
        print_table(("", "Model", str(settings.format)), _rows(parity), figures=("Model", str(settings.format)))

    output = api.export(**settings.as_dict(), on_compared=report, progress=progress)
    figures |= {"output": str(output), "bytes": sum(file.stat().st_size for file in _files(output))}
    size = f"{figures['bytes'] / 1e6:.1f} MB"
    if settings.unproven:
        command = f"deeplab compare {settings.model} {output} DATA"
        print(f"{output}: {size}, not compared with the model; next, on macOS: {command}")
    else:
        compared = f"{number_of(figures['images'], 'image')} compared"
        how = "" if settings.precision == "float32" else f" --precision {settings.precision}"
        print(f"{output}: {size}, {compared}; next: deeplab segment photo.jpg --model {output}{how}")
    if json:
        print_json(figures)


def _files(output: Path) -> list[Path]:
    """What was written: OpenVINO has its weights beside, Core ML all in a folder."""
    if output.is_dir():
        return [file for file in output.rglob("*") if file.is_file()]
    return [output, output.with_suffix(".bin")] if output.suffix.lower() == ".xml" else [output]


def _figures(parity: Parity) -> dict[str, Any]:
    return {
        "images": parity.images,
        "logits": parity.logits,
        "probabilities": parity.probabilities,
        "agreement": parity.agreement,
        "miou": parity.miou and [None if math.isnan(miou) else miou for miou in parity.miou],
        "label_map": parity.label_map,
        "milliseconds": list(parity.milliseconds),
    }


def _rows(parity: Parity) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        ("equal labels", "", f"{parity.agreement:.3%}"),
        ("largest difference of a probability", "", f"{parity.probabilities:.1e}"),
        ("largest difference of a logit, over their deviation", "", f"{parity.logits:.1e}"),
    ]
    if parity.label_map is not None:
        rows.append(("equal labels of its label map and its logits", "", f"{parity.label_map:.3%}"))
    if parity.miou:
        rows.append(("mIoU", *(f"{miou:.4f}" for miou in parity.miou)))
    rows.append(("milliseconds an image", *(f"{time:.0f}" for time in parity.milliseconds)))
    return rows
