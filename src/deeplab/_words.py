"""Words that messages share."""

from __future__ import annotations

__all__ = ["number_of"]


def number_of(count: int, singular: str, plural: str = "") -> str:
    """As in "1 mask", "3 masks", "2 classes" of "class", "classes"."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"
