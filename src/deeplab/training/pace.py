"""Where the time of a run goes, and how long it will take."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Pace", "in_words"]

FIRST_STEPS = 5
"""After so many the length of the run is reckoned, from all but the first, which also prepares what the others use."""


class Pace:
    """A clock that is told when an epoch begins, when a batch is there and when a step is done."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._epochs: list[float] = []
        self._steps: list[float] = []
        self._began = self._ready = clock()
        self.waited = 0.0
        """Seconds that this epoch has waited for its batches so far."""

    def begin_epoch(self) -> None:
        self._began = self._ready = self._clock()
        self.waited = 0.0

    def batch_is_there(self) -> None:
        self.waited += self._clock() - self._ready

    def end_batch(self) -> None:
        """A batch is done, of a step or all of it."""
        now = self._clock()
        self._steps.append(now - self._ready)
        self._ready = now

    def end_epoch(self) -> float:
        """Seconds of this epoch, its validation included."""
        self._epochs.append(self._clock() - self._began)
        return self._epochs[-1]

    def first_estimate(self, batches: int) -> float | None:
        """Seconds for `batches` without validations; once, when enough of them have been seen."""
        if len(self._steps) != FIRST_STEPS or batches <= FIRST_STEPS:
            return None
        return batches * sum(self._steps[1:]) / (FIRST_STEPS - 1)

    def to_go(self, epochs: int) -> float:
        """Seconds for so many more epochs, by those that were seen."""
        return epochs * sum(self._epochs) / max(1, len(self._epochs))


def in_words(seconds: float) -> str:
    """ "40 s", "25 min", "2.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
