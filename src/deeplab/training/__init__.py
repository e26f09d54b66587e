"""Training a model on a data set."""

from __future__ import annotations

from pathlib import Path

from deeplab._optional import require
from deeplab.settings import TrainSettings

__all__ = ["train"]


def train(settings: TrainSettings) -> Path:
    """Train as the settings say and return the file of the best model.

    The folder of the run gets best.safetensors and last.safetensors, config.yaml (every value and why),
    fingerprint.json, steps.csv, validation.csv, epochs.csv, curves.png, samples.png and TensorBoard's logs.

    Raises:
        MissingExtraError: What training, or a logger, needs is not installed.
        SettingsError: Settings that cannot work with each other, or with the data.
        DataError, ImageError: Data that cannot be trained on.
        OutputError: The folder of the run is not empty, or cannot be written.
        TrainingError: The loss or its gradient is no longer finite, or another process of the run has ended.
        KeyboardInterrupt: Ctrl-C; the run can be resumed from its last whole epoch.
        SystemExit: SIGTERM, with status 143; the same.
    """
    for module in ("torchvision", "lightning.pytorch", "tensorboard", "matplotlib", "yaml"):
        require(module, extra="train")
    for module in settings.logger or ():
        require(module, extra=module)
    from deeplab.training.run import run

    return run(settings)
