"""Read the next files, or write the last ones, in threads while the present one is worked on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["read_ahead"]

_Item = TypeVar("_Item")
_Read = TypeVar("_Read")


def read_ahead(
    read: Callable[[_Item], _Read], items: Iterable[_Item], *, ahead: int = 2
) -> Iterator[tuple[_Item, Future[_Read]]]:
    """Every item with the future of `read(item)`, in order, while up to `ahead` later items are being read.

    What `read` raises comes out of that item's `result()`; the items after it are not touched by it.
    """
    waiting: deque[tuple[_Item, Future[_Read]]] = deque()
    with ThreadPoolExecutor(max_workers=ahead, thread_name_prefix="read_ahead") as threads:
        try:
            for item in items:
                waiting.append((item, threads.submit(read, item)))
                if len(waiting) > ahead:
                    yield waiting.popleft()
            while waiting:
                yield waiting.popleft()
        finally:  # the caller may stop before the end
            for _, future in waiting:
                future.cancel()
