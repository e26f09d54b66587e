"""Threads that share out the rows of a kernel's work."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

from deeplab._machine import cores

__all__ = ["Workers"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

LEAST = 4096
"""Rows below which a part costs more to hand out than to do."""


class Workers:
    """So many threads, kept from one call to the next; a context, at whose end they stop."""

    def __init__(self, count: int | None = None) -> None:
        """
        Args:
            count: Number of threads; None: one for each core.
        """
        self.count = cores() if count is None else count
        self._pool = ThreadPoolExecutor(self.count) if self.count > 1 else None

    def each(
        self, function: Callable[[int, int], None], rows: int, *, least: int = LEAST, at_most: int | None = None
    ) -> None:
        """Call `function(first, end)` on parts of `rows`, which follow each other, at the same time.

        There are more parts than threads, so that one that another program holds up does not hold up all.

        Args:
            least: Rows in a part, at least.
            at_most: Rows in a part, at most, which comes first; None: any number.
        """
        parts = max(1, min(4 * self.count, rows // least) if self.count > 1 else 1, -(-rows // (at_most or rows or 1)))
        bounds = [rows * part // parts for part in range(parts + 1)]
        self.map(lambda part: function(bounds[part], bounds[part + 1]), range(parts))

    def map(self, function: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
        """`function` of each item, at the same time."""
        items = list(items)
        if self._pool is None or len(items) == 1:
            return [function(item) for item in items]
        return list(self._pool.map(function, items))

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown()
