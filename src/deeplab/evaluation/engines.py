"""The engine that runs a model the fastest on this machine, among those that are proven to give its labels."""

from __future__ import annotations

import logging
from pathlib import Path

from deeplab._progress import Progress
from deeplab.checkpoints import load
from deeplab.errors import DeepLabError, OutputError
from deeplab.evaluation.exporting import export_checkpoint
from deeplab.evaluation.parity import Parity
from deeplab.files import alone_in
from deeplab.runtimes import Ready, installed_engines
from deeplab.settings import ExportSettings

__all__ = ["make_ready"]

logger = logging.getLogger(__name__)


def make_ready(model: Path, engine: str, *, progress: Progress | None = None) -> None:
    """Export a model for an engine, compare it with the model, and keep it where `Ready` finds it.

    Of several processes that come here with one model, one exports, and the others wait for it.

    Args:
        engine: One of `deeplab.runtimes.ENGINES`; "auto": all of those that are installed, of which the fastest is
            noted, or torch where none is faster. One that fails is left out, with a line in the log.
        progress: As in `deeplab.export`.

    Raises:
        MissingExtraError: The engine is not installed.
        SettingsError: Such a model cannot be exported.
        CheckpointError: The engine's labels are not those of the model.
        OutputError: The cache cannot be written.
    """
    ready = Ready(model)
    with alone_in(ready.folder):
        if ready.knows(engine):
            return  # another process made it meanwhile
        if engine == "auto":
            _choose(model, ready, progress)
        else:
            _export(model, ready, engine, progress)
    ready.forget_earlier()


def _choose(model: Path, ready: Ready, progress: Progress | None) -> None:
    """Export the model for all engines that are installed, and note the fastest."""
    ratios = {}
    for each in installed_engines():
        try:
            of_torch, of_engine = _export(model, ready, each, progress).milliseconds
        except OutputError:
            raise  # of no engine: nothing can be kept
        except DeepLabError as error:
            logger.info("%s is left out: %s", each, error)
        except Exception as error:  # of an exporter or an engine: of many kinds, and of many lines
            reason = " ".join(str(error).split())[:160]
            logger.warning("%s is left out, it ends in %s: %s", each, type(error).__name__, reason)
        else:
            ratios[each] = of_engine / of_torch
    ready.choose(ratios)


def _export(model: Path, ready: Ready, engine: str, progress: Progress | None) -> Parity:
    settings = ExportSettings(model=str(model), format=engine, output=ready.file(engine))
    return export_checkpoint(load(model), settings, progress=progress)
