"""How Lightning and the memory of the process are set up for a run."""

from __future__ import annotations

import ctypes
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins import LayerSync
from lightning.pytorch.strategies import ModelParallelStrategy, Strategy
from torch import nn

from deeplab.layers import use_sync_norm
from deeplab.settings import TrainSettings, chosen

__all__ = ["keep_freed_memory", "quiet", "trainer_of"]

KNOWN_WARNINGS = (
    r".*does not have many workers.*",
    r".*have no `val_dataloader`.*",
    r".*number of training batches .* is smaller than the logging interval.*",
    r".*in eval mode at the start of training.*",
    r".*GPU available but not used.*",
    r".*LeafSpec.*is deprecated.*",
    r".*Checkpoint directory .* exists and is not empty.*",
    r".*sync_dist=True.*",  # what is logged is the same in all processes
)
"""Of Lightning and what it is made of, about what was chosen on purpose."""


def trainer_of(
    settings: TrainSettings,
    environment: ClusterEnvironment,
    run_loggers: list[Logger],
    callbacks: list[Callback],
    *,
    epochs: int,
    validate: bool,
) -> Trainer:
    """A trainer that does as the settings say, and says nothing of its own but a progress bar on a terminal."""
    bar = sys.stdout.isatty()  # where Lightning's goes
    kind, _, number = settings.device.partition(":")
    synced = [_SyncNorms()] if settings.processes > 1 and settings.batch_norm == "sync" else []
    with quiet():
        return Trainer(
            accelerator=kind,
            devices=[int(number)] if number else settings.devices,
            num_nodes=settings.nodes,
            plugins=[environment, *synced],
            strategy=_strategy(settings),
            precision="bf16-mixed" if settings.precision == "bf16" else "32-true",
            max_epochs=epochs,
            accumulate_grad_batches=chosen(settings.accumulate),
            check_val_every_n_epoch=settings.validate_every,
            limit_val_batches=1.0 if validate else 0,
            num_sanity_val_steps=0,
            gradient_clip_val=settings.gradient_clip or None,
            logger=run_loggers,
            log_every_n_steps=10,
            callbacks=[*callbacks, *([_Bar(leave=True)] if bar else [])],
            enable_progress_bar=bar,
            enable_model_summary=False,
            enable_checkpointing=False,
            use_distributed_sampler=False,
        )


class _SyncNorms(LayerSync):
    """Lightning's own, but for the layers that are more than BatchNorm."""

    def apply(self, model: nn.Module) -> nn.Module:
        use_sync_norm(model)
        return model

    def revert(self, model: nn.Module) -> nn.Module:
        return model  # the run is over, and what it wrote has the names of BatchNorm


def keep_freed_memory() -> None:
    """Have glibc keep the tensors that a step frees for the next step, instead of giving them back to the system.

    Fetching them again, page by page, can take longer than the arithmetic, on virtual machines above all.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):  # not in musl
            M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h
            libc.mallopt(M_MMAP_MAX, 0)
            libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


@contextmanager
def quiet() -> Iterator[None]:
    """Without Lightning's own advice: the settings that it is about were chosen before."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric", "lightning")]
    levels = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for text in KNOWN_WARNINGS:
                warnings.filterwarnings("ignore", text)
            yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)


def _strategy(settings: TrainSettings) -> str | Strategy:
    if settings.processes == 1:
        return "auto"
    if not settings.shard:
        return "ddp"
    return ModelParallelStrategy(settings.processes, tensor_parallel_size=1, save_distributed_checkpoint=False)


class _Bar(TQDMProgressBar):
    """Lightning's progress bar without its version number."""

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        metrics = super().get_metrics(trainer, pl_module)
        return {name: value for name, value in metrics.items() if name != "v_num"}
