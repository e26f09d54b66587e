"""Where on Earth the pixels of a map lie, for the pictures that are made of it."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from pathlib import Path
from xml.sax.saxutils import escape

from deeplab._optional import require
from deeplab.errors import OutputError
from deeplab.files import written_aside
from deeplab.images.large import MAPS
from deeplab.images.opening import bytes_of, orientation_of

__all__ = ["copy_georeference"]


def copy_georeference(source: Path, picture: Path) -> None:
    """Write beside a picture of the size of `source` where its pixels lie, as GDAL, and so QGIS, read it.

    That is the coordinate system and the affine transform, in picture.aux.xml ("PAM"). Where the source does not say,
    or is shown turned, or rasterio (extra geo) is not installed, there is no such file: one that lies there is of what
    the picture was before, and is deleted.

    Raises:
        OutputError: It cannot be written or deleted.
    """
    beside = picture.with_name(f"{picture.name}.aux.xml")
    text = _pam(source)
    if text is not None:
        with written_aside(beside) as aside:
            aside.write_text(text, encoding="utf-8")
        return
    try:
        beside.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{beside}: is of another picture and cannot be deleted ({error.strerror})") from error


def _pam(source: Path) -> str | None:
    """What is written beside a picture of `source`; None: it does not say where its pixels lie, or that is not read."""
    if source.suffix.lower() not in MAPS or find_spec("rasterio") is None:
        return None
    rasterio = require("rasterio", extra="geo")
    with bytes_of(source, str(source)) as file:
        if orientation_of(file) != 1:
            return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pictures that are no maps
        try:
            with rasterio.open(source) as opened:
                system, transform = opened.crs, opened.transform
        except rasterio.errors.RasterioError:  # what Pillow reads and GDAL does not
            return None
    if system is None or transform.is_identity:
        return None
    numbers = ", ".join(f"{number:.17g}" for number in transform.to_gdal())
    return (
        f"<PAMDataset>\n  <SRS>{escape(system.to_wkt())}</SRS>\n  <GeoTransform>{numbers}</GeoTransform>\n"
        "</PAMDataset>\n"
    )
