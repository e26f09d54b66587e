"""Pictures of a run: curves.png and samples.png."""

from __future__ import annotations

import csv
import math
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

ROW_HEIGHT, ROW_WIDTH = 240, 720
"""Pixels of a pane of samples.png, at most."""

LEGEND_COLUMN, LEGEND_ROW = 1.6, 0.22
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

    counted = [target != ignore_index for _, target, _ in samples]
    seen = [each[known] for (_, *maps), known in zip(samples, counted, strict=True) for each in maps]
    entries = [(classes[label], palette[label]) for label in np.unique(np.concatenate(seen))]
    if not all(known.all() for known in counted):
        entries.append(("does not count", IGNORED))
    # Before version 3.10, matplotlib leaves out names that begin with "_": hence the space.
    patches = [Patch(facecolor=color / 255, edgecolor="0.5", label=f" {name}") for name, color in entries]

    sizes = [_shown_size(target) for _, target, _ in samples]
    width = max(6.0, 3 * max(width for _, width in sizes) / DPI)
    columns = max(1, min(len(patches), int(width / LEGEND_COLUMN)))
    legend = 0.6 + LEGEND_ROW * math.ceil(len(patches) / columns)
    figure = Figure(figsize=(width, sum(height for height, _ in sizes) / DPI + legend), layout="constrained")
    FigureCanvasAgg(figure)
    heights = [height for height, _ in sizes]
    places = figure.subplots(len(samples), 3, squeeze=False, gridspec_kw={"height_ratios": heights})
    for row, (image, *maps), known, size in zip(places, samples, counted, sizes, strict=True):
        drawn = [np.where(known[..., None], colorize(each, palette), IGNORED).astype(np.uint8) for each in maps]
        for place, part in zip(row, (image, *drawn), strict=True):
            place.imshow(resize_image(part, size))
            place.set(xticks=[], yticks=[])
    for place, title in zip(places[0], ("photo", "truth", "prediction"), strict=True):
        place.set_title(title)
    figure.legend(handles=patches, loc="outside lower center", ncols=columns, fontsize="small", frameon=False)
    with written_aside(path) as aside:
        figure.savefig(aside, dpi=DPI)


def _shown_size(labels: Labels) -> tuple[int, int]:
    """(height, width) of a pane, in pixels."""
    height, width = labels.shape
    scale = min(ROW_HEIGHT / height, ROW_WIDTH / width)
    return max(1, round(scale * height)), max(1, round(scale * width))


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
