"""The report as one HTML page: what was found, with pictures, how frequent the classes are, how large the objects."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeplab import _html
from deeplab.data.doctor.diagnosis import Case, Diagnosis, Finding, shown_path
from deeplab.data.doctor.inspection import is_ignored, raw_labels
from deeplab.data.doctor.repairs import repair_hint
from deeplab.data.drawing import Drawing
from deeplab.data.sample import Part, Sample
from deeplab.errors import DeepLabError
from deeplab.files import written_aside
from deeplab.images import colorize, data_uri, read_image, resize_image, size_at

__all__ = ["write_page"]

PICTURES = 6
"""Cases of a finding that are shown."""

SIDE = 220
"""Pixels of the longer side of a thumbnail."""

ODD = (255, 0, 255)
"""The colour of labels that are no class."""

LISTED = 500
"""Cases of a finding that are listed."""


def write_page(path: Path, diagnosis: Diagnosis) -> None:
    """Write the page. Raises OutputError."""
    body = [_findings(diagnosis), _classes(diagnosis), _objects(diagnosis)]
    title = f"Data set {diagnosis.dataset.root.resolve().name}"
    with written_aside(path) as aside:
        text = _html.page(title, subtitle=diagnosis.summary(), body="\n".join(body))
        aside.write_text(text, encoding="utf-8")


def _findings(diagnosis: Diagnosis) -> str:
    samples: dict[Part, Sample] = {}
    for item in diagnosis.evidence.examined:
        samples[item.sample.image] = item.sample
        if item.sample.mask is not None:
            samples[item.sample.mask] = item.sample
    cards = [_card(finding, diagnosis, samples) for finding in diagnosis.findings]
    if not cards:
        cards = ['<div class="card">Nothing: the data set is in order.</div>']
    if hint := repair_hint(diagnosis):
        cards.append(_html.element("p", f"{hint}.", kind="soft"))
    return "<h2>What was found</h2>" + "".join(cards)


def _card(finding: Finding, diagnosis: Diagnosis, samples: dict[Part, Sample]) -> str:
    root = diagnosis.dataset.root
    parts = [
        f'<div class="card {finding.severity}"><h3><span class="tag">{finding.severity}</span>'
        f"{escape(finding.what[:1].upper() + finding.what[1:])}</h3>",
        _html.element("p", finding.advice, kind="soft"),
    ]
    pictures = "".join(_pictures(finding, diagnosis, samples))
    if pictures:
        parts.append(f'<div class="pictures">{pictures}</div>')
    if len(finding.cases) > 1:
        lines = [_line(case, root) for case in finding.cases[:LISTED]]
        if len(finding.cases) > LISTED:
            lines.append(f"and {len(finding.cases) - LISTED:,} more")
        parts.append(_html.details(f"all {len(finding.cases):,}", lines))
    return "".join([*parts, "</div>"])


def _pictures(finding: Finding, diagnosis: Diagnosis, samples: dict[Part, Sample]) -> Iterator[str]:
    for case in finding.cases[:PICTURES]:
        of = list(dict.fromkeys(samples.get(file) or Sample(Path(str(file))) for file in case.files[:3]))
        strip = _strip(of, diagnosis)
        if strip is not None:
            yield _html.figure(data_uri(strip), _line(case, diagnosis.dataset.root))


def _strip(samples: list[Sample], diagnosis: Diagnosis) -> NDArray[np.uint8] | None:
    """Images, each with its mask in colours at its right, side by side; None where nothing can be read."""
    pictures = []
    for sample in samples:
        for read in (_image, _mask):
            try:
                picture = read(sample, diagnosis)
            except DeepLabError:
                continue
            if picture is not None:
                pictures.append(resize_image(picture, size_at(SIDE, picture.shape[:2])))
    if not pictures:
        return None
    height = max(len(picture) for picture in pictures)
    widths = [picture.shape[1] for picture in pictures]
    strip = np.full((height, sum(widths) + 4 * (len(widths) - 1), 3), 128, np.uint8)
    left = 0
    for picture, width in zip(pictures, widths, strict=True):
        strip[: len(picture), left : left + width] = picture
        left += width + 4
    return strip


def _image(sample: Sample, diagnosis: Diagnosis) -> NDArray[np.uint8]:
    return read_image(sample.image)


def _mask(sample: Sample, diagnosis: Diagnosis) -> NDArray[np.uint8] | None:
    """The mask in the classes' colours, what is no class in ODD, or as it is where it has no labels."""
    if sample.mask is None:
        return None
    origin = diagnosis.evidence.origin
    drawn = isinstance(sample.mask, Drawing)
    height, width = read_image(sample.image).shape[:2] if drawn else (0, 0)
    try:
        labels = raw_labels(sample.mask, origin, (height, width))
    except DeepLabError:
        return None if isinstance(sample.mask, Drawing) else read_image(sample.mask)
    colors, num_classes, bits = colorize(labels, origin.palette), len(origin.classes), 8 * labels.dtype.itemsize
    for label in np.unique(labels[labels >= num_classes]).tolist():
        if not is_ignored(label, num_classes=num_classes, bits=bits):
            colors[labels == label] = ODD
    return colors


def _classes(diagnosis: Diagnosis) -> str:
    counts, dataset = diagnosis.evidence.counts, diagnosis.dataset
    rows = []
    for index, name in enumerate(dataset.classes):
        cells = [_html.chip(dataset.palette[index]) + escape(name)]
        for count in counts.values():
            share = count.pixels[index] / max(1, count.pixels.sum())
            text = f"{share:.2%} in {count.images[index]:,} of {count.masks:,} masks" if share else "in no mask"
            cells.append(_html.bars(share, text) if count.masks else "")
        rows.append(cells)
    return f'<h2>Classes</h2><div class="card">{_html.table(["", *counts], rows)}</div>'


def _objects(diagnosis: Diagnosis) -> str:
    """How many connected parts there are by their size, without the largest class, which is mostly background."""
    counts = [count for count in diagnosis.evidence.counts.values() if count.masks]
    objects = sum(count.objects for count in counts) if counts else np.zeros((1, 1))
    total = np.asarray(objects).sum(axis=0)
    if not total.any():
        return ""
    last = int(np.flatnonzero(total)[-1])
    by_side = [int(total[octave : octave + 2].sum()) for octave in range(0, last + 1, 2)]  # a side doubles, too
    names = [f"{2**step}" for step in range(len(by_side))]
    stride = diagnosis.evidence.output_stride
    text = (
        "Connected parts of one class, by the side of a square of their area, in pixels: 8 stands for 8 to 15. "
        f"Below {stride} they are smaller than a cell of the deepest features at output stride {stride}."
    )
    return f'<h2>Objects</h2><div class="card">{_html.columns(by_side, names=names)}</div>' + _html.element(
        "p", text, kind="soft"
    )


def _line(case: Case, root: Path) -> str:
    files = ", ".join(shown_path(file, root) for file in case.files)
    return f"{files}: {case.remark}" if case.remark else files
