"""An evaluation as one HTML page: figures with their intervals, what is mistaken for what, and pictures to look at."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeplab import _html, metrics
from deeplab._words import number_of
from deeplab.data import DataSet, Sample, load_sample
from deeplab.evaluation.comparison import Comparison
from deeplab.evaluation.report import TRIMAP_WIDTHS, Boundaries, ObjectSize, Report
from deeplab.files import written_aside
from deeplab.images import colorize, data_uri, resize_image, size_at
from deeplab.inference import Segmenter
from deeplab.metrics import Interval

__all__ = ["NAMES", "shown", "write_comparison", "write_page"]

NAMES = {
    "miou": "mIoU",
    "pixel_accuracy": "pixel accuracy",
    "mean_accuracy": "mean accuracy",
    "frequency_weighted_iou": "frequency-weighted IoU",
    "mean_dice": "mean Dice",
    "boundary_f_score": "boundary F-score",
    "boundary_iou": "boundary IoU",
}
"""How a figure is called where people read it."""

SHOWN = 6
"""Images of each kind."""

SIDE = 320
"""Pixels of the longer side of a picture."""

PAIRS = 10
"""Confused pairs of classes that are named."""

MOST_CLASSES = 40
"""With more, a confusion matrix is too large to be read."""


def write_page(
    path: Path, report: Report, *, title: str, segmenter: Segmenter, dataset: DataSet, samples: Sequence[Sample]
) -> None:
    """Write the page; the images that it shows are segmented once more.

    Args:
        samples: Those that were measured, in order.

    Raises:
        OutputError: It cannot be written.
    """
    parts = [_figures(report), _classes(report, dataset), _confused(report)]
    if report.boundaries is not None:
        parts.append(_borders(report.boundaries))
    parts.append(_objects(report))
    if report.calibration is not None:
        parts.append(_calibration(report))
    parts.append(_images(report, segmenter=segmenter, dataset=dataset, samples=samples))
    subtitle = f"{number_of(report.images, 'image')}; intervals are 95 %, over images"
    with written_aside(path) as aside:
        aside.write_text(_html.page(title, subtitle=subtitle, body="\n".join(parts)), encoding="utf-8")


def write_comparison(
    path: Path,
    comparison: Comparison,
    *,
    names: tuple[str, str],
    segmenters: tuple[Segmenter, Segmenter],
    dataset: DataSet,
    samples: Sequence[Sample],
) -> None:
    """Write the page of two models on the same images; those that it shows are segmented once more.

    Raises:
        OutputError: It cannot be written.
    """
    heads = ("", *names, "difference", "95 %")
    reports = (comparison.first, comparison.second)
    figures = [
        (NAMES[name], *(_number(shown(report.intervals[name].value)) for report in reports), *_difference(interval))
        for name, interval in comparison.differences.items()
    ]
    classes = [
        (
            _html.chip(dataset.palette[index]) + escape(name),
            *(_number(shown(report.iou_intervals[name].value)) for report in reports),
            *_difference(interval),
        )
        for index, (name, interval) in enumerate(comparison.iou_differences.items())
    ]
    parts = [_section("Figures", _html.table(heads, figures)), _section("IoU by class", _html.table(heads, classes))]
    by_image = comparison.by_image()
    order = [int(index) for index in np.argsort(by_image) if by_image[index] != 0 and not math.isnan(by_image[index])]
    gained, lost = _ends_of(order)
    for title, chosen, sign in ((f"Where {names[1]} is better", gained, 1), (f"Where {names[0]} is better", lost, -1)):
        chosen = [index for index in chosen if sign * by_image[index] > 0]
        strips = _pictures([samples[index] for index in chosen], dataset, segmenters)
        captions = (f"{comparison.first.names[i]}: pixel accuracy {by_image[i]:+.3f}" for i in chosen)
        parts.append(_gallery(title, strips, captions, f"Image, truth, {names[0]}, {names[1]}."))
    title = f"{names[1]} compared with {names[0]}"
    subtitle = f"{number_of(comparison.first.images, 'image')}: {comparison.verdict(names)}"
    with written_aside(path) as aside:
        aside.write_text(_html.page(title, subtitle=subtitle, body="\n".join(parts)), encoding="utf-8")


def shown(value: float, *, signed: bool = False) -> str:
    """A figure as it is read; `signed` for a difference."""
    return "-" if math.isnan(value) else f"{value:{'+' if signed else ''}.4f}"


def _figures(report: Report) -> str:
    rows = [
        (escape(NAMES[name]), _number(shown(interval.value)), _number(interval.ends()))
        for name, interval in report.intervals.items()
    ]
    if report.calibration is not None:
        rows.append(("calibration error", _number(shown(report.calibration_error)), ""))
    rule = "A class that is in neither truth nor prediction is left out of the means; one only predicted counts as 0."
    return _section("Figures", _html.table(("", "", "95 %"), rows), rule)


def _classes(report: Report, dataset: DataSet) -> str:
    total = max(1, int(report.confusion.sum()))
    dice = metrics.dice(report.confusion)
    rows = []
    for index, (name, interval) in enumerate(report.iou_intervals.items()):
        rows.append(
            (
                _html.chip(dataset.palette[index]) + escape(name),
                "-" if math.isnan(interval.value) else _html.bars(interval.value, shown(interval.value)),
                _number(interval.ends()),
                _number(shown(dice[index])),
                _number(f"{report.pixels[name] / total:.2%}"),
            )
        )
    return _section("Classes", _html.table(("", "IoU", "95 %", "Dice", "true pixels"), rows))


def _confused(report: Report) -> str:
    shares = metrics.row_shares(report.confusion)
    wrong = np.nan_to_num(shares * (1 - np.eye(len(shares))))
    pairs = [np.unravel_index(place, wrong.shape) for place in np.argsort(-wrong, axis=None)[:PAIRS]]
    lines = [
        (escape(report.classes[true]), escape(report.classes[other]), _html.bars(share, f"{share:.1%}"))
        for true, other in pairs
        if (share := float(wrong[true, other])) > 0
    ]
    if not lines:
        return ""
    text = "Share of the pixels of a class that were taken for another."
    body = _html.table(("true", "taken for", "share"), lines)
    if len(report.classes) <= MOST_CLASSES:
        matrix = _shares(np.where(shares < 0.005, np.nan, shares), report.classes, heads=report.classes)
        body += _html.details_of("All of them: a row for each true class", matrix)
    return _section("What is mistaken for what", body, text)


def _shares(shares: NDArray[np.float64], classes: Sequence[str], *, heads: Sequence[str]) -> str:
    """A row for each class, a column for each head; empty where nan."""
    rows = []
    for name, row in zip(classes, shares.tolist(), strict=True):
        cells = [_html.shaded(share, "" if math.isnan(share) else f"{share:.0%}") for share in row]
        rows.append((escape(name), *cells))
    return _html.table(("", *heads), rows)


def _borders(boundaries: Boundaries) -> str:
    """mIoU in bands around the true borders, and the share of wrong pixels by their distance."""
    curve = [(float(width), miou) for width, miou in boundaries.trimap_miou.items() if not math.isnan(miou)]
    rings = np.diff(boundaries.trimaps, axis=0, prepend=0)
    rows, before = [], 0
    for width, ring in zip(TRIMAP_WIDTHS, rings, strict=True):
        if ring.sum():
            wrong = 1 - metrics.pixel_accuracy(ring)
            rows.append((f"{before} .. {width} px", _html.bars(wrong, f"{wrong:.1%}")))
        before = width
    text = "mIoU of the pixels that are at most so far from a true border, and how many pixels are wrong by distance."
    chart = (
        _html.chart([curve], x="pixels from a border", y="mIoU", top=1.0) if curve else "<p>There are no borders.</p>"
    )
    return _section("Near borders", chart + _html.table(("distance", "wrong"), rows), text)


def _objects(report: Report) -> str:
    """The share of right pixels by the size of the objects that they are in, and the same for each class."""
    found = report.objects.found
    if not found:
        return ""
    image = report.confusion.sum() / report.images  # pixels
    rows = [
        (
            _side(size),
            _number(f"{size.objects:,}"),
            _number("< 0.01%" if (share := size.pixels / size.objects / image) < 1e-4 else f"{share:.2%}"),
            _html.bars(size.recall.value, shown(size.recall.value)),
            _number(size.recall.ends()),
        )
        for size in found
    ]
    text = (
        "The share of the pixels that are right. An object is a connected part of one class in the truth; its size is "
        "the side of a square of its area."
    )
    body = _html.table(("size", "objects", "of an image", "right", "95 %"), rows)
    by_class = np.stack([size.recall_by_class for size in found], axis=1)
    matrix = _shares(by_class, report.classes, heads=[_side(size) for size in found])
    return _section("Small and large objects", body + _html.details_of("By class", matrix), text)


def _side(size: ObjectSize) -> str:
    return f"{size.side[0]} .. {size.side[1]} px"


def _calibration(report: Report) -> str:
    assert report.calibration is not None
    diagram = metrics.reliability(report.calibration)
    points = [(confidence, right) for confidence, right in diagram.tolist() if not math.isnan(confidence)]
    text = (
        f"How often the model is right by how sure it is; the thin line is a model that is right as often as it says. "
        f"Expected calibration error {shown(report.calibration_error)}."
    )
    chart = _html.chart([points, [(0.0, 0.0), (1.0, 1.0)]], x="probability", y="share that is right", top=1.0)
    return _section("Can the probabilities be believed?", chart, text)


def _images(report: Report, *, segmenter: Segmenter, dataset: DataSet, samples: Sequence[Sample]) -> str:
    """The worst and the best by mIoU, and a table of all."""
    found = [(name, miou, accuracy) for name, miou, accuracy in report.by_image()]
    order = sorted((index for index, each in enumerate(found) if not math.isnan(each[1])), key=lambda i: found[i][1])
    best, worst = _ends_of(order)
    parts = []
    for title, chosen in (("Worst images", worst), ("Best images", best)):
        strips = _pictures([samples[index] for index in chosen], dataset, [segmenter])
        captions = (f"{found[i][0]}: mIoU {found[i][1]:.3f}, pixel accuracy {found[i][2]:.3f}" for i in chosen)
        parts.append(_gallery(title, strips, captions, "Image, truth, prediction."))
    lines = (f"{name}: mIoU {shown(miou)}, pixel accuracy {shown(accuracy)}" for name, miou, accuracy in found)
    return "".join(parts) + _html.details("All images", lines)


def _ends_of(order: Sequence[int]) -> tuple[Sequence[int], Sequence[int]]:
    """The last ones, from the end, and the first ones; none is in both."""
    half = len(order) - len(order) // 2
    return order[half:][::-1][:SHOWN], order[:half][:SHOWN]


def _pictures(samples: Sequence[Sample], dataset: DataSet, segmenters: Sequence[Segmenter]) -> Iterator[str]:
    """Of each sample, side by side, as an address for a picture: the image, its truth, what each segmenter makes of it.

    Where the truth is to be ignored it is left out of the predictions too.
    """
    for sample in samples:
        image, target = load_sample(sample, dataset)
        known = (target != dataset.ignore_index)[..., np.newaxis]
        maps = [target, *(segmenter(image).labels for segmenter in segmenters)]
        parts = [image, *(np.where(known, colorize(labels, dataset.palette), 0).astype(np.uint8) for labels in maps)]
        size = size_at(SIDE, image.shape[:2])
        gap = np.full((size[0], 4, 3), 128, np.uint8)
        strips = [strip for part in parts for strip in (resize_image(part, size), gap)]
        yield data_uri(np.hstack(strips[:-1]))


def _gallery(title: str, strips: Iterable[str], captions: Iterable[str], text: str) -> str:
    figures = "".join(map(_html.figure, strips, captions))
    return _section(title, f'<div class="pictures">{figures}</div>', text) if figures else ""


def _section(title: str, body: str, text: str = "") -> str:
    said = _html.element("p", text, kind="soft") if text else ""
    return f'{_html.element("h2", title)}<div class="card">{said}{body}</div>'


def _difference(interval: Interval) -> tuple[str, str]:
    return _number(shown(interval.value, signed=True)), _number(interval.ends(signed=True))


def _number(text: str) -> str:
    return _html.element("span", text, kind="number")
