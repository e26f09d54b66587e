"""What the formats of annotation tools share: shapes as polygons, and the class of what nobody drew."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from deeplab.data.drawing import Polygon

__all__ = ["BACKGROUND", "ellipse", "rectangle", "warn_left_out", "with_background"]

logger = logging.getLogger(__name__)

BACKGROUND = "background"

ELLIPSE_CORNERS = 360
"""So many keep within 1/20 pixel of an ellipse of a radius of 1000."""


def with_background(names: Iterable[str]) -> tuple[str, ...]:
    """The classes of drawn labels: background, which is what nobody drew, then the others in their order."""
    return BACKGROUND, *(name for name in names if name != BACKGROUND)


def rectangle(left: float, top: float, right: float, bottom: float, *, degrees: float = 0) -> Polygon:
    """The polygon of a rectangle in pixels, turned clockwise about its centre."""
    center, half = ((left + right) / 2, (top + bottom) / 2), ((right - left) / 2, (bottom - top) / 2)
    return Polygon.of(_turned(np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * half, degrees) + center)


def ellipse(center: tuple[float, float], radii: tuple[float, float], *, degrees: float = 0) -> Polygon:
    """The polygon of an ellipse: `center` and `radii` as x and y in pixels, turned clockwise."""
    angles = np.linspace(0, 2 * math.pi, ELLIPSE_CORNERS, endpoint=False)
    return Polygon.of(_turned(np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii, degrees) + center)


def warn_left_out(kinds: Counter[str], *, source: object) -> None:
    """Log what a data set has beside regions, by kind."""
    if kinds:
        some = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        logger.warning("%s: left out what covers no area: %s", source, some)


def _turned(points: NDArray[np.float64], degrees: float) -> NDArray[np.float64]:
    """(N, 2) as x and y, clockwise as one sees it: the y axis points down."""
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    turned: NDArray[np.float64] = points @ np.array([(cosine, sine), (-sine, cosine)])
    return turned
