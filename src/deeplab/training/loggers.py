"""Where the figures of a run go besides its CSV files: TensorBoard, and at wish Weights & Biases and MLflow."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from deeplab._optional import require
from deeplab.errors import SettingsError
from deeplab.files import written_aside
from deeplab.settings import TrainSettings

__all__ = ["begin", "ended"]

RUNS = "loggers.json"
"""The names that the loggers have given the run, by which a resumed one goes on there."""

NAME = "deeplab"
"""Of the project there, unless WANDB_PROJECT or MLFLOW_EXPERIMENT_NAME says otherwise."""

WAYS_OUT = {
    "wandb": "log in by 'wandb login', or set WANDB_MODE=offline",
    "mlflow": "say where it is by MLFLOW_TRACKING_URI, as in sqlite:///mlflow.db",
}


def begin(settings: TrainSettings, *, first: bool) -> list[Logger]:
    """The loggers of a run, begun there or, where it is resumed, taken up again; the `first` process has them all.

    Raises:
        SettingsError: One of them does not begin.
    """
    folder, path = settings.output, settings.output / RUNS
    loggers: list[Logger] = [TensorBoardLogger(folder, name="", version="tensorboard")]
    if settings.logger is None or not first:
        return loggers
    runs: dict[str, str] = json.loads(path.read_text("utf-8")) if settings.resume and path.exists() else {}
    for name in settings.logger:
        try:
            loggers.append(_begun(name, folder, runs.get(name), settings))
        except Exception as error:  # whatever these packages raise
            raise SettingsError(f"logger {name}: {' '.join(str(error).split())}; {WAYS_OUT[name]}") from error
        runs[name] = str(loggers[-1].version)
    with written_aside(path) as aside:
        aside.write_text(json.dumps(runs) + "\n", "utf-8")
    return loggers


@contextmanager
def ended(loggers: Sequence[Logger]) -> Iterator[None]:
    """After the run Weights & Biases is told so, lest the next run of this process goes on in the same one there."""
    failed = True
    try:
        yield
        failed = False
    finally:
        for logger in loggers:
            if isinstance(logger, WandbLogger):
                logger.experiment.finish(exit_code=int(failed))


def _begun(name: str, folder: Path, run: str | None, settings: TrainSettings) -> Logger:
    """The logger of this name, with its `run` or, where that is None, a new one that is told the settings."""
    logger: WandbLogger | MLFlowLogger
    if name == "wandb":
        folder.mkdir(parents=True, exist_ok=True)
        logger = WandbLogger(folder.name, save_dir=folder, id=run, project=os.environ.get("WANDB_PROJECT", NAME))
    else:
        place = require("mlflow", extra="mlflow").get_tracking_uri()
        experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME", NAME)
        logger = MLFlowLogger(experiment, folder.name, tracking_uri=place, run_id=run)
    _ = logger.experiment  # begins
    if run is None:
        logger.log_hyperparams(settings.as_dict())
    return logger
