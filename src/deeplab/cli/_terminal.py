"""Tables on a terminal, plain lines in a pipe; progress bars are those of `deeplab._progress`."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from deeplab._progress import progress as progress
from deeplab._words import number_of

FEW = 10
"""Images whose interval is narrower than what is known: resampled, they are the same few again."""


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    figures: Collection[str] = (),
    colors: Mapping[str, Sequence[int]] = {},
) -> None:
    """Rows of text: on a terminal a table once all are there, in a pipe each at once, with tabs between.

    In a table, a first value like the one above is not repeated; the columns `figures` stand to the right, and a value
    that has one of the `colors`, in RGB, is shown with it.
    """
    if not sys.stdout.isatty():
        for row in rows:
            print("\t".join(row), flush=True)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    def cell(value: str) -> Text:
        if value not in colors:
            return Text(value)  # no markup in names
        return Text.assemble(("\u25a0 ", "rgb({},{},{})".format(*colors[value])), value)

    table = Table()
    for name in columns:
        table.add_column(name, justify="right" if name in figures else "left")
    above = ""
    for first, *rest in rows:
        table.add_row(Text("" if first == above else first), *map(cell, rest))
        above = first
    Console().print(table)


def print_images(images: int, data: Path, split: str) -> None:
    """What intervals are over, and whether that is enough."""
    few = ", which says little of so few" if images < FEW else ""
    print(f"{number_of(images, 'image')} of {data}, {split}; 95 %: interval over images{few}")


def print_json(figures: Mapping[str, Any]) -> None:
    """`figures` as JSON in one line."""
    print(json.dumps(figures, allow_nan=False))


def warn(text: str) -> None:
    """One line on standard error, in the form of an error."""
    print(f"deeplab: {' '.join(text.splitlines())}", file=sys.stderr)
