"""How a run ends before its end: by Ctrl-C, SIGTERM, a full disk, or the end of another of its processes."""

from __future__ import annotations

import errno
import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import distributed

from deeplab.errors import DeepLabError, OutputError, TrainingError

__all__ = ["Termination", "stoppable"]

logger = logging.getLogger(__name__)

TERMINATED = 128 + signal.SIGTERM
"""The exit status after SIGTERM."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system calls a full disk, a spent quota, and a file larger than it allows."""


@contextmanager
def stoppable(trainer: Trainer, folder: Path) -> Iterator[None]:
    """Inside, Ctrl-C is KeyboardInterrupt and SIGTERM is SystemExit(143); a line says how the run in `folder` goes on.

    No other process of the run is left behind.

    Raises:
        OutputError: The disk is full.
        TrainingError: Another process of the run has ended.
    """
    main = threading.current_thread() is threading.main_thread()
    handlers = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    if main:
        signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    except BaseException as error:
        if trainer.strategy.launcher is not None:
            trainer.strategy.launcher.kill(getattr(signal, "SIGKILL", signal.SIGTERM))
        terminated = isinstance(error, SystemExit) and error.code == TERMINATED
        interrupted = isinstance(error, SystemExit) and not terminated and trainer.interrupted  # by Lightning's hand
        if (terminated or interrupted) and trainer.is_global_zero:
            by, epoch = "SIGTERM" if terminated else "Ctrl-C", trainer.current_epoch + 1
            logger.warning("stopped by %s in epoch %d; --resume goes on after the last whole one", by, epoch)
        if interrupted:
            raise KeyboardInterrupt from error
        if reason := _full(error):
            raise OutputError(f"{folder}: no room is left ({reason}); make room, then go on by --resume") from error
        if _left_alone(error):
            raise TrainingError("another process of this run has ended; its line says why") from error
        raise
    finally:
        if main:
            for each, handler in handlers.items():
                signal.signal(each, handler)


class Termination(Callback):
    """Takes SIGTERM back from Lightning, which would let all processes talk to each other in the middle of a step."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, _terminate)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise SystemExit(TERMINATED)


def _full(error: BaseException) -> str | None:
    """What the system says where this error, or what caused it, is a full disk."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in FULL:
            return cause.strerror
        cause = cause.__cause__
    return None


def _left_alone(error: BaseException) -> bool:
    """Whether this is how a process notices that another one has ended."""
    if isinstance(error, DeepLabError) or not isinstance(error, RuntimeError):
        return False
    return isinstance(error, getattr(distributed, "DistError", ())) or "gloo" in str(error)  # which has no class of it
