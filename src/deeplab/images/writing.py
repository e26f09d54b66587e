"""Pictures in files and pages."""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deeplab.errors import OutputError
from deeplab.files import written_aside
from deeplab.images.opening import FORMATS
from deeplab.images.reading import read_image

__all__ = ["as_pillow", "data_uri", "write_grey", "write_image"]


def write_image(path: str | Path, image: Image.Image | NDArray[np.uint8]) -> None:
    """Write a picture in the format that the suffix of `path` names, in one step.

    Raises:
        ImageError: `image` is none, see `read_image`.
        OutputError: An unknown suffix, or the file cannot be written.
    """
    suffix = Path(path).suffix.lower()
    format = next((format for format, suffixes in FORMATS.items() if suffix in suffixes), None)
    if format is None:
        raise OutputError(f"{path}: no image format is named '{suffix}'; use .png or .jpg")
    picture = Image.fromarray(read_image(image))
    options = {"quality": 95} if format == "JPEG" else {}
    with written_aside(path) as aside:
        picture.save(aside, format=format, **options)


def write_grey(path: str | Path, values: NDArray[np.uint8]) -> None:
    """Write uint8 (H, W) as an 8-bit grey PNG, in one step. Raises OutputError: the file cannot be written."""
    with written_aside(path) as aside:
        Image.fromarray(values).save(aside, format="PNG")


def data_uri(image: NDArray[np.uint8]) -> str:
    """uint8 (H, W, 3) as the address of a PNG picture that lies inside the address, for a page of one file."""
    file = BytesIO()
    Image.fromarray(image).quantize(255).save(file, format="PNG", optimize=True)
    return f"data:image/png;base64,{b64encode(file.getvalue()).decode()}"


def as_pillow(image: NDArray[np.uint8]) -> Image.Image:
    """uint8 (H, W, 3) as a Pillow image, for showing it."""
    return Image.fromarray(image)
