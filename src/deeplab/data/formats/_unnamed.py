"""The classes of masks that no list names: a number or a colour for each."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeplab.errors import DataError, ImageError
from deeplab.images import IGNORE_COLOR, color_map, read_header, read_image, read_labels

__all__ = ["unnamed_classes"]

logger = logging.getLogger(__name__)

LOOKED_AT = 50
"""Masks, spread over all of them."""

MOST_COLORS, MOST_NUMBERS = 64, 1000
"""Of classes; what has more is a photo, or numbers objects."""

IGNORED = {255, 65535}


def unnamed_classes(masks: Sequence[Path], class_list: Path) -> tuple[tuple[str, ...], NDArray[np.uint8]]:
    """Names and colours for what the masks hold, as a warning says: the numbers up to the largest, or the colours.

    Args:
        masks: Some of them are looked at; those that cannot be read are left to the doctor.
        class_list: Where the names belong.

    Raises:
        DataError: The masks hold nothing, too much, or numbers and colours.
    """
    numbers, colors = _values(masks[:: max(1, -(-len(masks) // LOOKED_AT))])
    if (not numbers and not colors) or (numbers and colors) or len(colors) > MOST_COLORS:
        what = f"{len(colors)} colours and {len(numbers)} numbers" if numbers or colors else "nothing that can be read"
        raise _unclear(class_list, what)
    if colors:
        palette = np.array(sorted(colors), np.uint8)
        names = _names(len(colors), [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in sorted(colors)])
        line = "name R G B"
    else:
        count = _count(numbers)
        if count > MOST_NUMBERS:
            raise _unclear(class_list, f"numbers up to {max(numbers)}")
        palette = color_map(count)
        names, line = _names(count, [f"class {number}" for number in range(count)]), "name"
    shown = ", ".join(names[:5]) + (f" ... {names[-1]}" if len(names) > 5 else "")
    logger.warning(
        "%s: no such file; what the masks hold is called %s; write the classes in this order, one a line: %s",
        class_list, shown, line,
    )  # fmt: skip
    return names, palette


def _values(masks: Sequence[Path]) -> tuple[set[int], set[tuple[int, int, int]]]:
    """The numbers in masks of one band, and the colours in the others."""
    numbers: set[int] = set()
    colors: set[int] = set()
    for mask in masks:
        try:
            if read_header(mask).mode in ("RGB", "RGBA"):
                red, green, blue = np.moveaxis(read_image(mask).astype(np.int32), -1, 0)
                colors.update(np.unique(red << 16 | green << 8 | blue).tolist())
            else:
                numbers.update(np.unique(read_labels(mask)).tolist())
        except ImageError:
            continue
    return numbers, {(color >> 16, color >> 8 & 255, color & 255) for color in colors} - {IGNORE_COLOR}


def _count(numbers: set[int]) -> int:
    """How many classes have these numbers: all up to the largest, or as many as there are where they lie far apart."""
    counting = numbers - IGNORED or {0}
    if len(numbers) <= MOST_COLORS and max(numbers) <= 255 and max(counting) >= 2 * len(numbers):
        return len(numbers)
    return max(2, max(counting) + 1)


def _names(count: int, names: Sequence[str]) -> tuple[str, ...]:
    return ("background", "object") if count == 2 else tuple(names)


def _unclear(class_list: Path, what: str) -> DataError:
    return DataError(
        f"{class_list}: no such file, and the masks hold {what}; write one class a line in order of index, `name` or "
        "`name R G B`"
    )
