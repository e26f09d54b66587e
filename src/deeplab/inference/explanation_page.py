"""An explanation as pictures, and as one HTML page that says what they show."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeplab import _html
from deeplab.files import distinct_stems, written_aside
from deeplab.images import data_uri, heat, resize_image, size_at, write_image
from deeplab.inference.explanation import Explanation, Map

__all__ = ["write_explanation"]

SIDE = 480
"""Pixels of the longer side of a picture on the page; the files are as large as the image."""

SHOWS = {
    "entropy": "How unsure the model is: bright where it holds many classes for possible.",
    "margin": "How narrow the lead of the winning class is: bright where another one is close behind.",
    "disagreement": "Bright where the mirrored, the smaller or the larger image gives another class.",
    "dropout": "Bright where networks with random dropout give another class.",
    "receptive field": "From where the class of the marked pixel is read off.",
}

NOT_IN_A_NAME = re.compile(r"[^\w-]+")


def write_explanation(folder: Path, stem: str, explanation: Explanation, *, pixel: tuple[int, int] | None) -> Path:
    """Write `<stem>_<what>.png` for each map and the page `<stem>.html`, and return the path of the page.

    What a class name has that a file's should not becomes `_`.

    Raises:
        OutputError: Something cannot be written.
    """
    image = explanation.segmentation.image
    figures = [_html.figure(_shrunk(image), "The image.")]
    figures.append(_html.figure(_shrunk(np.array(explanation.segmentation.overlay())), "What the model sees in it."))
    maps = list(_maps(explanation))
    files = distinct_stems(Path(f"{stem}_{NOT_IN_A_NAME.sub('_', name)}.png") for name, _, _ in maps)
    for (name, values, text), file in zip(maps, files, strict=True):
        picture = _over(image, values)
        if name == "receptive field" and pixel is not None:
            _mark(picture, pixel)
        write_image(folder / f"{file}.png", picture)
        figures.append(_html.figure(_shrunk(picture), text))
    areas = ", ".join(f"{name} {share:.1%}" for name, share in explanation.segmentation.areas().items())
    page = folder / f"{stem}.html"
    body = f'<div class="pictures">{"".join(figures)}</div>'
    with written_aside(page) as aside:
        aside.write_text(_html.page(f"{stem}, explained", subtitle=areas, body=body), encoding="utf-8")
    return page


def _maps(explanation: Explanation) -> Iterator[tuple[str, Map, str]]:
    """Each map by its name, and what it shows."""
    for name, values in explanation.activations.items():
        yield name, values, f"What speaks for {name} (Seg-Grad-CAM)."
    yield "entropy", explanation.entropy, SHOWS["entropy"]
    yield "margin", 1 - explanation.margin, SHOWS["margin"]
    yield "disagreement", explanation.disagreement, SHOWS["disagreement"]
    if explanation.dropout is not None:
        yield "dropout", explanation.dropout, SHOWS["dropout"]
    if explanation.receptive_field is not None:
        yield "receptive field", np.sqrt(explanation.receptive_field), SHOWS["receptive field"]


def _over(image: NDArray[np.uint8], values: Map) -> NDArray[np.uint8]:
    """The map's colours over the image in grey, which shines through."""
    grey = image.mean(axis=-1, keepdims=True)
    picture: NDArray[np.uint8] = np.rint(0.3 * grey + 0.7 * heat(values)).astype(np.uint8)
    return picture


def _mark(picture: NDArray[np.uint8], pixel: tuple[int, int]) -> None:
    """A white cross at the pixel."""
    row, column = pixel
    reach = max(2, min(picture.shape[:2]) // 60)
    picture[max(0, row - reach) : row + reach + 1, column] = 255
    picture[row, max(0, column - reach) : column + reach + 1] = 255


def _shrunk(picture: NDArray[np.uint8]) -> str:
    size = picture.shape[:2]
    return data_uri(resize_image(picture, size_at(SIDE, size) if max(size) > SIDE else (size[0], size[1])))
