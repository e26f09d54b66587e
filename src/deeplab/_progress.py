"""Progress bars on standard error where that is a terminal, and nothing in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Progress(Protocol):
    """What shows how far the work is: `with progress(title, total=steps) as advance`."""

    def __call__(self, title: str, /, *, total: int) -> AbstractContextManager[Callable[[], None]]: ...


@contextmanager
def progress(title: str, *, total: int) -> Iterator[Callable[[], None]]:
    """A bar of `total` steps; yields what to call after each step."""
    if not sys.stderr.isatty():
        with no_progress(title, total=total) as advance:
            yield advance
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
        task = bar.add_task(title, total=total)
        yield lambda: bar.advance(task)


@contextmanager
def no_progress(title: str, *, total: int) -> Iterator[Callable[[], None]]:
    """What `progress` is in a pipe."""
    yield lambda: None


@contextmanager
def download_progress(title: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar with megabytes, speed and the time left; yields what to call with the bytes so far and in all, if known."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
