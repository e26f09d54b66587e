"""What a run leaves behind: figures of every step and validation, the models, the state to resume from."""

from __future__ import annotations

import csv
import logging
import zipfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from deeplab._words import number_of
from deeplab.errors import OutputError
from deeplab.files import written_aside
from deeplab.metrics import iou, mean_accuracy, miou, pixel_accuracy
from deeplab.training.pace import Pace, in_words
from deeplab.training.task import SegmentationTask
from deeplab.weight_files import STATE, STATE_BEFORE

__all__ = ["Record", "state_of", "steps_done"]

logger = logging.getLogger(__name__)

STEP_COLUMNS = ("step", "epoch", "loss", "learning_rate")
EPOCH_COLUMNS = ("step", "epoch", "seconds", "seconds_waiting_for_images")


def state_of(folder: Path) -> Path | None:
    """The state of the run in `folder` to go on from, the newest that is whole; None: from its beginning."""
    for path in (folder / STATE, folder / STATE_BEFORE):
        if zipfile.is_zipfile(path):  # as torch writes them; that it is one stands at its end
            return path
        if path.exists():
            logger.warning("%s is damaged; going on from what was before it", path)
    return None


def steps_done(state: Path) -> int:
    """After how many steps of the run this is its state."""
    return int(torch.load(state, map_location="cpu", mmap=True, weights_only=True)["global_step"])


class Record(Callback):
    """Writes at the end of every epoch, so that the files and the state to resume from always agree."""

    def __init__(
        self,
        folder: Path,
        *,
        classes: Sequence[str],
        save: Callable[[Path, dict[str, Any]], None],
        draw: Callable[[], None],
    ) -> None:
        self.folder = folder
        self.classes = tuple(classes)
        self.save = save
        self.draw = draw
        self.best: dict[str, Any] = {}
        self.pace = Pace()
        self._rate = 0.0
        self._loss = 0.0
        self._steps: list[dict[str, Any]] = []
        self._scores: dict[str, Any] = {}

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict["best"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:  # a run that was stopped may have left rows of an epoch that is done again
            _keep_rows(self.folder / "steps.csv", below=trainer.global_step)
            _keep_rows(self.folder / "validation.csv", below=trainer.global_step)
            _keep_rows(self.folder / "epochs.csv", below=trainer.global_step)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.pace.begin_epoch()
        if trainer.current_epoch + 1 == trainer.max_epochs:
            trainer.check_val_every_n_epoch = 1  # the last model is to be measured, and may be the best

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        assert isinstance(pl_module, SegmentationTask)
        self.pace.batch_is_there()
        self._rate = pl_module.rate(trainer.global_step)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, SegmentationTask)
        self._loss += outputs["loss"].item()  # of a batch its share in the step
        self.pace.end_batch()
        left = pl_module.schedule.steps - trainer.global_step
        seconds = self.pace.first_estimate(left * trainer.accumulate_grad_batches)
        if seconds is not None:
            logger.info("about %s on this machine for the %d steps, without validations", in_words(seconds), left)
        if (batch_idx + 1) % trainer.accumulate_grad_batches == 0:
            if not pl_module.skipped:
                row = (trainer.global_step - 1, trainer.current_epoch, self._loss, self._rate)
                self._steps.append(dict(zip(STEP_COLUMNS, row, strict=True)))
            self._loss = 0.0
            if left == 0:
                trainer.should_stop = True  # in the middle of the last epoch

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, SegmentationTask)
        matrix = pl_module.confusion
        self._scores = {
            "step": trainer.global_step - 1,
            "epoch": trainer.current_epoch,
            "miou": miou(matrix),
            "pixel_accuracy": pixel_accuracy(matrix),
            "mean_accuracy": mean_accuracy(matrix),
            **{f"iou {name}": float(value) for name, value in zip(self.classes, iou(matrix), strict=True)},
        }

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, SegmentationTask)
        pl_module.put_together()
        loss = float(np.mean([row["loss"] for row in self._steps])) if self._steps else float("nan")
        words = f"epoch {trainer.current_epoch + 1} of {trainer.max_epochs}: loss {loss:.4f}"
        waited = self.pace.waited
        if trainer.is_global_zero:
            _append(self.folder / "steps.csv", self._steps)
            facts = {
                "epoch": trainer.current_epoch,
                "step": trainer.global_step - 1,
                **_known({"train_loss": loss, **self._scores}),
            }
            self.save(self.folder / "last.safetensors", facts)
            if self._scores:
                words += f", validation mIoU {self._scores['miou']:.4f}"
                _append(self.folder / "validation.csv", [self._scores])
                if self._scores["miou"] > self.best.get("miou", -1.0):
                    self.best = facts
                    self.save(self.folder / "best.safetensors", facts)
            if self._scores or trainer.current_epoch + 1 == trainer.max_epochs:
                self.draw()
            seconds = self.pace.end_epoch()
            row = (trainer.global_step - 1, trainer.current_epoch, round(seconds, 2), round(waited, 2))
            _append(self.folder / "epochs.csv", [dict(zip(EPOCH_COLUMNS, row, strict=True))])
            words += f"; {in_words(seconds)}, {waited / seconds:.0%} of it waiting for images"
            left = pl_module.schedule.epochs - trainer.current_epoch - 1
            words += f"; about {in_words(self.pace.to_go(left))} to go" if left else ""
        pl_module.log("waited", waited)
        self._steps, self._scores = [], {}
        state = self.folder / STATE
        with written_aside(state) if trainer.is_global_zero else nullcontext(Path()) as aside:
            trainer.save_checkpoint(aside)
            if trainer.is_global_zero and zipfile.is_zipfile(state):
                state.replace(self.folder / STATE_BEFORE)
        logger.info("%s", words)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        there = {name: self.best[key] for name in self.classes if self.best.get(key := f"iou {name}") is not None}
        found = [name for name, score in there.items() if score > 0]
        if len(found) == 1 < len(there):
            logger.warning(
                "the best model says '%s' everywhere: after %s it has learnt nothing else; train longer, without "
                "--epochs and --steps as long as the data want, and look what 'deeplab doctor' says of them",
                found[0], number_of(trainer.global_step, "step"),
            )  # fmt: skip


def _known(scores: dict[str, Any]) -> dict[str, Any]:
    """Figures as JSON holds them: a class in neither truth nor prediction has none, nor an epoch without a step."""
    return {name: None if value != value else value for name, value in scores.items()}


def _append(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    if not rows:
        return
    new = not path.exists()
    try:
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            if new:
                writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror}); make room, then go on by --resume") from error


def _keep_rows(path: Path, *, below: int) -> None:
    """Drop the rows from step `below` on, and one that was not written to its end."""
    if not path.exists():
        return
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    kept = [row for row in rows if None not in row.values() and int(row["step"]) < below]
    if not kept:
        path.unlink()
    elif len(kept) < len(rows):
        with written_aside(path) as aside:
            _append(aside, kept)
