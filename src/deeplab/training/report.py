"""Pictures of a run: curves.png and samples.png."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from deeplab.files import written_aside
from deeplab.images import colorize, resize_image

__all__ = ["draw_curves", "draw_samples"]

Labels: TypeAlias = NDArray[np.uint8 | np.uint16]

DPI = 100

ROW_HEIGHT = 240
"""Pixels of a row of samples.png, about."""

LEGEND_COLUMN = 1.6
"""Inches that a class takes in its legend."""

IGNORED = np.full(3, 255, np.uint8)
"""The colour of pixels that do not count: black is the background of many palettes."""


def draw_curves(folder: Path) -> None:
    """Draw loss, learning rate and validation scores from the run's CSV files into curves.png."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    steps, scores = _columns(folder / "steps.csv"), _columns(folder / "validation.csv")
    figure = Figure(figsize=(15, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    loss, rate, quality = figure.subplots(1, 3)
    if steps:  # none where every step was skipped
        loss.plot(steps["step"], steps["loss"], color="0.8", linewidth=0.5)
        loss.plot(steps["step"], _smooth(steps["loss"]))
        loss.set(ylim=(0, 1.1 * np.quantile(steps["loss"], 0.99)))
        rate.plot(steps["step"], steps["learning_rate"])
    loss.set(title="training loss", xlabel="step")
    rate.set(title="learning rate of the backbone", xlabel="step")
    if scores:
        for name in [name for name in scores if name.startswith("iou ")][:20]:
            quality.plot(scores["step"], scores[name], linewidth=0.7, alpha=0.6, label=name.removeprefix("iou "))
        quality.plot(scores["step"], scores["miou"], color="black", marker=".", label="mIoU")
        quality.set(title="validation IoU", xlabel="step", ylim=(0, 1))
        quality.legend(fontsize="x-small", loc="upper left", bbox_to_anchor=(1, 1))
    with written_aside(folder / "curves.png") as aside:
        figure.savefig(aside, dpi=DPI)


def draw_samples(
    path: Path,
    samples: Sequence[tuple[NDArray[np.uint8], Labels, Labels]],
    *,
    classes: Sequence[str],
    palette: NDArray[np.uint8],
    ignore_index: int,
) -> None:
    """A row for each sample: image, true labels, predicted labels (the ignored ones left out of both); and a legend."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    widest = max(image.shape[1] / image.shape[0] for image, *_ in samples)
    size = max(6.0, 3 * widest * ROW_HEIGHT / DPI), len(samples) * ROW_HEIGHT / DPI + 1
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    places = figure.subplots(len(samples), 3, squeeze=False)
    seen: set[int] = set()
    for row, (image, target, labels) in zip(places, samples, strict=True):
        ignored = target == ignore_index
        for place, part in zip(row, (image, target, labels), strict=True):
            shown = image
            if part is not image:
                shown = np.where(ignored[..., None], IGNORED, colorize(part, palette)).astype(np.uint8)
                seen.update(np.unique(part[~ignored]).tolist())
            width = max(1, round(ROW_HEIGHT * image.shape[1] / image.shape[0]))
            place.imshow(resize_image(shown, (ROW_HEIGHT, width)))
            place.set(xticks=[], yticks=[])
    for place, title in zip(places[0], ("photo", "truth", "prediction"), strict=True):
        place.set_title(title)
    entries = [(classes[label], palette[label]) for label in sorted(seen)]
    if any((target == ignore_index).any() for _, target, _ in samples):
        entries.append(("does not count", IGNORED))
    # Before version 3.10, matplotlib leaves out names that begin with "_": hence the space.
    patches = [Patch(facecolor=color / 255, edgecolor="0.5", label=f" {name}") for name, color in entries]
    columns = max(1, min(len(patches), int(size[0] / LEGEND_COLUMN)))
    figure.legend(handles=patches, loc="outside lower center", ncols=columns, fontsize="small", frameon=False)
    with written_aside(path) as aside:
        figure.savefig(aside, dpi=DPI)


def _columns(path: Path) -> dict[str, NDArray[np.float64]]:
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the last hundredth of the run, at least 10 steps."""
    length = max(10, len(values) // 100)
    sums = np.cumsum(np.insert(values, 0, 0.0))
    starts = np.maximum(0, np.arange(1, len(values) + 1) - length)
    return (sums[1:] - sums[starts]) / (np.arange(1, len(values) + 1) - starts)
