"""Nothing that is not finite reaches the weights: the run is stopped or the step skipped, and the reason is told."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import Optimizer

from deeplab.errors import OutputError, TrainingError
from deeplab.files import written_aside
from deeplab.training.batches import Batch, files
from deeplab.training.sharding import reshard, share_here
from deeplab.training.task import SegmentationTask

__all__ = ["Guard"]

logger = logging.getLogger(__name__)

SKIPPED_IN_A_ROW = 10
"""After so many skipped steps in a row the run is stopped: it would not recover."""

KEPT_BATCHES = 20
"""No more bad batches are kept in the folder of a run."""


class Guard(Callback):
    """Looks at the loss and the gradient before each step of the optimizer.

    Where one is not finite, the batch is written into `folder` as bad_step_STEP.npz (image uint8 (N, 3, H, W), labels
    (N, H, W), files, step, loss), the first bad layer is looked for, and the run is stopped, or the step is skipped:
    weights, their running mean, the optimizer's state and batch statistics stay as they were before it.
    """

    def __init__(self, folder: Path, *, on_nan: Literal["stop", "skip"]) -> None:
        self.folder = folder
        self.on_nan = on_nan
        self.in_a_row = 0
        self._batches: list[Batch] = []
        self._losses: list[Tensor] = []
        """Of the parts of this step."""
        self._statistics: list[Tensor] = []

    def state_dict(self) -> dict[str, Any]:
        return {"in_a_row": self.in_a_row}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.in_a_row = state_dict["in_a_row"]

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        assert isinstance(pl_module, SegmentationTask)
        if batch_idx % trainer.accumulate_grad_batches == 0:
            pl_module.skipped = False
            self._batches, self._losses = [], []
            self._statistics = [buffer.clone() for _, buffer in _tensors(pl_module, "named_buffers")]
        self._batches.append(batch)

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        self._losses.append(loss.detach())

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        assert isinstance(pl_module, SegmentationTask)
        weights = _tensors(pl_module, "named_parameters")
        gradients = [share_here(weight.grad) for _, weight in weights if weight.grad is not None]
        largest = nn.utils.get_total_norm(gradients, norm_type=float("inf"))
        finite = torch.isfinite(torch.stack(self._losses))
        sound = bool(finite.all() & torch.isfinite(largest))
        if trainer.strategy.reduce_boolean_decision(sound):  # all processes go on, or none does
            self.in_a_row = 0
            return
        self.in_a_row += 1
        self._restore(pl_module)
        part = int(finite.int().argmin())  # the first that is not finite, or simply the first
        hopeless, reason = self._reason(trainer, pl_module, part)
        place = self._keep(trainer, pl_module, part)
        names = ", ".join(map(str, files(pl_module.samples, self._batches[part].indices)))
        loss = self._losses[part].item()
        told = f"the loss is {loss:.6g} at step {trainer.global_step} on {names}{place}: {reason}"
        if hopeless:
            raise TrainingError(f"{told}; start from other --weights, or from the run's best.safetensors")
        ways = ["lower --learning-rate"]
        if pl_module.settings.precision != "32":
            ways.append("train with --precision 32")
        if self.on_nan == "stop":
            ways.append("go on by --resume --on-nan skip")
            raise TrainingError(f"{told}; {' or '.join(ways)}")
        if self.in_a_row >= SKIPPED_IN_A_ROW:
            raise TrainingError(
                f"{self.in_a_row} steps in a row were not finite, the last one: {told}; {' or '.join(ways)}"
            )
        logger.warning("step skipped: %s", told)
        pl_module.skipped = True
        for _, weight in _tensors(pl_module, "named_parameters"):
            weight.grad = None  # the optimizer passes it over

    @torch.no_grad()
    def _restore(self, task: SegmentationTask) -> None:
        """Put the statistics back to what they were before the step."""
        for (_, buffer), before in zip(_tensors(task, "named_buffers"), self._statistics, strict=True):
            buffer.copy_(before)

    def _reason(self, trainer: Trainer, task: SegmentationTask, part: int) -> tuple[bool, str]:
        """What is bad first, and whether that will not pass with the batch, as it is a weight or a statistic.

        The part of the step is done again as it was, in training mode: in evaluation layers would see other statistics.
        """
        tensors = chain(_tensors(task, "named_parameters"), _tensors(task, "named_buffers"))
        broken = next((name for name, tensor in tensors if not _is_finite(tensor)), None)
        if not trainer.strategy.reduce_boolean_decision(broken is None):
            return True, f"the weights {broken or 'of another process'} are not finite"
        with trainer.precision_plugin.train_step_context():
            finite = _finite_outputs(task, self._batches[part], part)
        self._restore(task)
        bad = [name for name in finite if not finite[name]]
        if bad:
            return False, f"the first layer whose output is not finite is {bad[0]}"
        if not torch.isfinite(self._losses[part]):
            here = " of this process" if trainer.world_size > 1 else ""
            return False, f"the outputs of all layers{here} are finite, the loss of them is not"
        gradients = {
            name.rpartition(".")[0]
            for name, weight in _tensors(task, "named_parameters")
            if weight.grad is not None and not _is_finite(weight.grad)
        }
        last = next((name for name in reversed(finite) if name in gradients), "none of this process")
        return False, f"it and the outputs of all layers are finite, the gradient is not; the first one back is {last}"

    def _keep(self, trainer: Trainer, task: SegmentationTask, part: int) -> str:
        """Write the batch, and say where it is; the run matters more than that file."""
        process = f"_process_{trainer.global_rank}" if trainer.world_size > 1 else ""
        path = self.folder / f"bad_step_{trainer.global_step}{process}.npz"
        if not path.exists() and len(list(self.folder.glob("bad_step_*.npz"))) >= KEPT_BATCHES:
            return ""
        batch = self._batches[part]
        try:
            with written_aside(path) as aside:
                np.savez_compressed(
                    aside,
                    image=batch.image.cpu().numpy(),
                    labels=batch.labels.cpu().numpy(),
                    files=[str(file) for file in files(task.samples, batch.indices)],
                    step=trainer.global_step,
                    loss=self._losses[part].item(),
                )
        except OutputError as error:
            logger.warning("%s", error)
            return ""
        return f" (kept in {path})"


def _is_finite(tensor: Tensor) -> bool:
    """Whether it is, as far as this process has it."""
    return bool(torch.isfinite(share_here(tensor)).all())


def _tensors(
    task: SegmentationTask, kind: Literal["named_parameters", "named_buffers"]
) -> Iterator[tuple[str, Tensor]]:
    """The weights or the statistics of what is trained, by name; not those of the running mean."""
    yield from getattr(task.model, kind)()
    if task.auxiliary is not None:
        yield from getattr(task.auxiliary, kind)("auxiliary")


@torch.no_grad()
def _finite_outputs(task: SegmentationTask, batch: Batch, part: int) -> dict[str, bool]:
    """Whether the output of each layer is finite, in the order in which they are computed; `batch` is seen again."""
    finite: dict[str, bool] = {}

    def look(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            finite[name] = finite.get(name, True) and bool(torch.isfinite(output).all())

    modules = chain(
        task.model.named_modules(), task.auxiliary.named_modules(prefix="auxiliary") if task.auxiliary else ()
    )
    layers = [(name, module) for name, module in modules if not list(module.children())]
    hooks = [layer.register_forward_hook(partial(look, name)) for name, layer in layers]
    try:
        task.step_logits(batch, part=part)
    finally:
        for hook in hooks:
            hook.remove()
        reshard(task)
    return finite
