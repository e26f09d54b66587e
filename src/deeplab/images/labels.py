"""Label maps in files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deeplab.errors import ImageError, OutputError
from deeplab.files import File, written_aside
from deeplab.images.colors import IGNORE_COLOR, all_colors
from deeplab.images.depth import check_range
from deeplab.images.opening import LOSSY_FORMATS, opened, upright
from deeplab.images.reading import described

__all__ = ["check_png", "read_labels", "write_labels"]


def read_labels(path: str | File, *, palette: NDArray[np.uint8] | None = None) -> NDArray[np.uint8 | np.uint16]:
    """The class indices of a mask file: uint8 (H, W), or uint16 where the file has more bits.

    The index of a palette file is the label, whatever its colours; the label of a 1-bit file is 0 or 1. In colours,
    `IGNORE_COLOR` is the ignored label, 255 or 65535, unless it is a class's. EXIF orientation is applied as for
    images.

    Args:
        path: A lossless image file with one band, or, with a `palette`, with three.
        palette: The colour of every class, uint8 (num_classes, 3), for masks drawn in colours.

    Raises:
        ImageError: The file cannot be read, or does not hold labels; the text names the pixel.
        InputNotFoundError: No such file.
    """
    with opened(path) as file:
        if file.format in LOSSY_FORMATS:
            raise ImageError(
                f"{path}: a mask must be lossless, and {file.format} changes labels along borders;"
                " save the original mask as PNG"
            )
        file.load()
        values = np.array(upright(file))
        mode = file.mode
    if mode in ("LA", "PA", "RGBA"):
        values = _without_alpha(values, name=str(path))
    if mode in ("RGB", "RGBA"):
        return _labels_by_color(values, palette, name=str(path))
    if mode in ("1", "L", "LA", "P", "PA"):
        return values.astype(np.uint8)
    if mode.startswith("I"):
        check_range(values, name=str(path), what="label")
        return values.astype(np.uint16)
    raise ImageError(f"{path}: a mask holds integer class indices, one a pixel; came mode {mode}; save it as PNG")


def write_labels(path: str | Path, labels: NDArray[np.uint8 | np.uint16], *, palette: NDArray[np.uint8]) -> None:
    """Write class indices as an 8-bit palette PNG, or as 16-bit grey where 8 bits cannot hold all classes.

    Args:
        path: Ends in .png; replaced in one step.
        labels: uint8 or uint16 (H, W).
        palette: uint8 (num_classes, 3).

    Raises:
        ImageError: `labels` is not such an array.
        OutputError: Another suffix, or the file cannot be written.
    """
    check_png(path)
    if labels.ndim != 2 or labels.dtype not in (np.uint8, np.uint16) or labels.size == 0:
        raise ImageError(f"{path}: labels must be uint8 or uint16 (H, W); came {described(labels)}")
    if labels.max() > 255 or len(palette) > 255:  # with 256 classes, 255 would read as ignored
        image = Image.fromarray(labels.astype(np.uint16))
    else:
        image = Image.fromarray(labels.astype(np.uint8))
        image.putpalette(all_colors(palette, count=256).tobytes())
    with written_aside(path) as aside:
        image.save(aside, format="PNG")


def check_png(path: str | Path) -> None:
    """Raise OutputError unless the name of a label map ends as it has to."""
    if Path(path).suffix.lower() != ".png":
        raise OutputError(f"{path}: labels are written as PNG; end the name in .png")


def _without_alpha(values: NDArray[np.uint8], *, name: str) -> NDArray[np.uint8]:
    """(H, W, bands + 1) whose last band is all opaque -> (H, W, bands), or (H, W) of one band."""
    holes = np.argwhere(values[..., -1] != 255)
    if len(holes):
        row, column = holes[0]
        raise ImageError(
            f"{name}: a mask has no transparent pixels, came one at (row {row}, column {column});"
            " give it a class and save the mask without alpha"
        )
    return values[..., 0] if values.shape[-1] == 2 else values[..., :-1]


def _labels_by_color(
    values: NDArray[np.uint8], palette: NDArray[np.uint8] | None, *, name: str
) -> NDArray[np.uint8 | np.uint16]:
    """(H, W, 3) in colours of the palette -> class indices (H, W)."""
    if palette is None:
        raise ImageError(f"{name}: the mask is in colours (RGB); give every class its colour, or save class indices")
    colors = _packed(np.vstack([palette, np.array(IGNORE_COLOR, np.uint8)]))
    order = np.argsort(colors, kind="stable")
    known, wanted = colors[order], _packed(values)
    place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    unlisted = np.argwhere(known[place] != wanted)
    if len(unlisted):
        row, column = unlisted[0]
        color = tuple(values[row, column].tolist())
        raise ImageError(
            f"{name}: colour {color} at (row {row}, column {column}) is no class's colour;"
            f" {len(unlisted)} pixels are such; list the colour or repair the mask"
        )
    order[order == len(palette)] = 255 if len(palette) <= 255 else 65535  # IGNORE_COLOR
    labels = order[place]
    return labels.astype(np.uint8) if len(palette) <= 255 else labels.astype(np.uint16)


def _packed(colors: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """RGB (..., 3) as one number each."""
    red, green, blue = np.moveaxis(colors.astype(np.uint32), -1, 0)
    packed: NDArray[np.uint32] = red << 16 | green << 8 | blue
    return packed
