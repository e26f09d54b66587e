"""The training task: one step, one validation, the running mean of the weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch
from lightning.pytorch import LightningModule
from numpy.typing import NDArray
from torch import Tensor, distributed, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from deeplab import losses
from deeplab.data import Sample
from deeplab.errors import DeepLabError
from deeplab.inference import Segmenter
from deeplab.layers import resize, use_sync_norm
from deeplab.metrics import confusion_matrix, miou
from deeplab.models import SegmentationModel
from deeplab.settings import TrainSettings, chosen, loss_weights
from deeplab.training.auxiliary import AuxiliaryHead, features_of
from deeplab.training.batches import Batch, Epochs, seeded
from deeplab.training.optimizers import create_optimizer, parameter_groups
from deeplab.training.schedule import falling_share, schedule_of
from deeplab.training.sharding import copy_whole, shard, share_here

__all__ = ["SegmentationTask"]

Logits: TypeAlias = Tensor | losses.Upsampled

LONG_RUN = 30_000
"""Steps of the papers' runs on VOC; the statistics of so long a run keep the momentum of their layers."""


class SegmentationTask(LightningModule):
    """Trains `model`; validation and the saved file use `best_guess`: the mean of its weights, or itself."""

    def __init__(
        self,
        model: nn.Module,
        settings: TrainSettings,
        *,
        samples: Sequence[Sample],
        num_classes: int,
        ignore_index: int,
        epochs: Epochs,
        segmenter: Callable[[nn.Module], Segmenter],
        class_weights: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.schedule = schedule_of(settings, steps_per_epoch=epochs.steps)
        self.statistics = _statistics(model, steps=self.schedule.steps, momentum=settings.batch_norm_momentum)
        self.auxiliary: AuxiliaryHead | None = None
        if settings.auxiliary > 0:
            assert isinstance(model, SegmentationModel)
            self.auxiliary = AuxiliaryHead(model.backbone.channels.res4, num_classes)
        self.settings = settings
        self.samples = samples
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.epochs = epochs
        self.segmenter = segmenter
        self.class_weights: Tensor | None
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.average = _average(model, decay=settings.ema) if settings.ema > 0 else None
        self._together: tuple[nn.Module, ...] = ()
        """The best guess with all of its weights, where each process has a share; in a tuple, as it is not trained."""
        self._segmenter: Segmenter | None = None
        """That of the best guess, until the weights change."""
        self._groups: list[dict[str, Any]] | None = None
        """Those of the optimizer, found while the weights were whole."""
        self.skipped = False
        """Whether the optimizer did not do the latest step (see `Guard`)."""
        self.confusion: NDArray[np.int64] = np.zeros((num_classes, num_classes), np.int64)

    @property
    def best_guess(self) -> nn.Module:
        """The model as it would be saved now; where each process has a share of it, as `put_together` left it."""
        return self._together[0] if self._together else self._guess

    @property
    def _guess(self) -> nn.Module:
        return self.model if self.average is None else self.average.module

    def put_together(self) -> None:
        """Make the best guess that of this step; all processes come here."""
        if self._together:
            copy_whole(self._together[0], self._guess)
        self._segmenter = None

    def configure_model(self) -> None:
        """Give each process a share of the weights, where Lightning's strategy is for that."""
        if self.device_mesh is None:
            return
        groups = self._parameter_groups()
        if self.settings.batch_norm == "sync":
            use_sync_norm(self.model)
        names = {parameter: name for name, parameter in self.named_parameters()}
        self._together = (copy.deepcopy(self._guess).eval(),)
        for module in (self.model, self.auxiliary, None if self.average is None else self.average.module):
            if module is not None:
                shard(module, self.device_mesh["data_parallel"])
        shares = dict(self.named_parameters())
        self._groups = [{**group, "params": [shares[names[each]] for each in group["params"]]} for group in groups]

    def train(self, mode: bool = True) -> SegmentationTask:
        """As ever, but neither the mean of the weights nor normalisation that is kept is ever in training mode."""
        super().train(mode)
        if self.average is not None:
            self.average.eval()
        for module in self.model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                kept = module.affine and not module.weight.requires_grad
                if kept or self.settings.batch_norm == "freeze":
                    module.eval()
        return self

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Lightning starts to read batches before it tells the sampler the epoch."""
        self.epochs.set_epoch(checkpoint["global_step"] // self.epochs.steps)

    def on_train_start(self) -> None:
        self.train()

    def on_train_epoch_start(self) -> None:
        self.train()

    def on_train_batch_start(self, batch: Batch | DeepLabError, batch_index: int) -> None:
        self._segmenter = None
        self.settle_statistics(self.global_step)

    def settle_statistics(self, step: int) -> None:
        """Have BatchNorm's running statistics be a plain mean at first, and then follow as fast as the run allows."""
        for name, momentum in self.statistics:
            norm = self.model.get_submodule(name)
            assert isinstance(norm, nn.modules.batchnorm._BatchNorm)
            norm.momentum = max(momentum, 1 / (1 + step))

    def training_step(self, batch: Batch | DeepLabError, batch_index: int) -> Tensor:
        if isinstance(batch, DeepLabError):
            raise batch
        logits, auxiliary = self.step_logits(batch, part=batch_index % chosen(self.settings.accumulate))
        with torch.autocast(self.device.type, enabled=False):
            loss = self.loss(logits, batch)
            if auxiliary is not None:
                loss = loss + self.settings.auxiliary * self.loss(auxiliary, batch)
        self.log("loss", loss.detach(), prog_bar=True)
        return loss

    def step_logits(self, batch: Batch, *, part: int) -> tuple[Logits, Logits | None]:
        """The logits of a batch, a part of this step, with the dropout that it has in a resumed run, too."""
        place = part * self.settings.processes + self.global_rank
        torch.manual_seed(seeded(self.settings.seed, self.global_step, -2 - place).initial_seed())
        return self.logits(to_float(batch.image))

    def logits(self, image: Tensor) -> tuple[Logits, Logits | None]:
        """The logits (N, num_classes, H, W) of the model and, if there is one, of the auxiliary head.

        They stay coarse where nothing but their enlargement follows: most losses never need them full size.
        """
        assert isinstance(self.model, SegmentationModel)
        size = (image.shape[-2], image.shape[-1])
        grid_size = self.model.prepare.grid_size(size)
        upsampled = partial(losses.Upsampled, size=size, grid_size=grid_size, align_corners=self.model.align_corners)
        with features_of(self.model.backbone) as seen:
            coarse = self.model.coarse_logits(image)
        logits = upsampled(coarse) if self.model.ends_coarse else coarse
        if self.auxiliary is None:
            return logits, None
        largest = self.model.scales.index(max(self.model.scales))
        return logits, upsampled(self.auxiliary(seen[largest].res4))

    def loss(self, logits: Logits, batch: Batch) -> Tensor:
        """The loss of logits (N, num_classes, H, W): of the labels, mixed with the teacher's if any.

        That of the batches of all processes, which have the same number.
        """
        settings, group = self.settings, _all_processes()
        loss = losses.weighted_sum(
            logits,
            batch.labels,
            weights=loss_weights(settings.loss),
            ignore_index=self.ignore_index,
            class_weights=self.class_weights,
            label_smoothing=settings.label_smoothing,
            hard_pixels=self.hard_pixels(self.global_step),
            divisor=settings.loss_divisor,
            focal_gamma=settings.focal_gamma,
            group=group,
        )
        if batch.probabilities is None:
            return loss
        pixels = losses.full_size(logits)
        probabilities = resize(batch.probabilities, (pixels.shape[-2], pixels.shape[-1]), align_corners=False)
        share = settings.distillation
        taught = losses.distillation(pixels, probabilities, inside=batch.inside, group=group)
        return (1 - share) * loss + share * taught

    def hard_pixels(self, step: int) -> float:
        """The share of hard pixels."""
        steps = round(self.settings.hard_pixels_epochs * self.epochs.steps)
        return falling_share(step, share=self.settings.hard_pixels, steps=steps)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        stepped = (batch_idx + 1) % chosen(self.settings.accumulate) == 0
        if self.average is not None and stepped and not self.skipped:
            self.average.update_parameters(self.model)

    def on_validation_epoch_start(self) -> None:
        self.confusion = np.zeros_like(self.confusion)
        if _all_processes() is not None:
            for buffer in self._guess.buffers():  # the statistics that each process has of its own images
                distributed.broadcast(buffer, src=0)
        self.put_together()

    def validation_step(self, batch: Any, batch_index: int) -> None:
        if isinstance(batch, DeepLabError):
            raise batch
        if batch is None:  # this process has an image less than others
            return
        image, target = batch
        self.confusion += confusion_matrix(
            self.predict(image), target, num_classes=self.num_classes, ignore_index=self.ignore_index
        )

    def on_validation_epoch_end(self) -> None:
        if _all_processes() is not None:
            counts = torch.from_numpy(self.confusion).to(self.device)
            distributed.all_reduce(counts)
            self.confusion = counts.cpu().numpy()
        self.log("val_miou", miou(self.confusion), prog_bar=True)

    def predict(self, image: NDArray[np.uint8]) -> NDArray[np.uint8 | np.uint16]:
        """Labels (H, W) of an image (H, W, 3), as the saved model would give them: in full precision."""
        with torch.autocast(self.device.type, enabled=False):
            if self._segmenter is None:
                self._segmenter = self.segmenter(self.best_guess)
            return self._segmenter.labels(image)

    def factor(self, step: int) -> float:
        """The factor of the schedule on every learning rate."""
        return self.schedule.factor(step)

    def rate(self, step: int) -> float:
        """The learning rate of the backbone's last stage."""
        return chosen(self.settings.learning_rate) * self.factor(step)

    def configure_optimizers(self) -> Any:
        groups = self._parameter_groups() if self._groups is None else self._groups
        optimizer = create_optimizer(groups, name=self.settings.optimizer)
        return [optimizer], [{"scheduler": LambdaLR(optimizer, self.factor), "interval": "step"}]

    def _parameter_groups(self) -> list[dict[str, Any]]:
        settings = self.settings
        return parameter_groups(
            self.model,
            learning_rate=chosen(settings.learning_rate),
            head_multiplier=chosen(settings.head_multiplier),
            weight_decay=chosen(settings.weight_decay),
            layer_decay=settings.layer_decay,
            bias_multiplier=settings.bias_multiplier,
            auxiliary=self.auxiliary,
            auxiliary_multiplier=settings.auxiliary_multiplier,
        )


def _all_processes() -> distributed.ProcessGroup | None:
    """All processes of the run; None where this is the only one."""
    return distributed.group.WORLD if distributed.is_available() and distributed.is_initialized() else None


def to_float(image: Tensor) -> Tensor:
    """uint8 (N, 3, H, W) -> float in 0 .. 1, channels last in memory."""
    return image.contiguous(memory_format=torch.channels_last).float() / 255


def _statistics(model: nn.Module, *, steps: int, momentum: float | None) -> list[tuple[str, float]]:
    """BatchNorm's running statistics that have to settle in a run of `steps`, and the momentum at which they do.

    By their names in the model: what shares them among processes puts another module in the place of each. A given
    `momentum`, and that of the layers in a long run, is for every step.
    """
    norms = {
        name: module for name, module in model.named_modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)
    }
    if momentum is not None:
        for module in norms.values():
            module.momentum = momentum
    least = least_momentum(steps)
    if momentum is not None or least == 0:
        return []
    return [(name, max(norm.momentum, least)) for name, norm in norms.items() if norm.momentum is not None]


def least_momentum(steps: int) -> float:
    """That of BatchNorm with which running statistics keep up with the weights in a run of `steps`; 0: any does.

    The momentum of the official head, 0.0003, is made for 30 000 steps; in a short run its statistics would end near
    where they started. Weights that learn fast leave them behind even so: a window of a twentieth of the run, and the
    mean of it that the mean of the weights has, gave 0.10 mIoU after the second of ten epochs on CamVid, where
    statistics taken anew gave 0.45. Hence a window of a 200th of it, or ten steps.
    """
    return 0.0 if steps >= LONG_RUN else min(0.1, 200 / steps)


def _average(model: nn.Module, *, decay: float) -> AveragedModel:
    """The running mean of weights and buffers; a copy of the model before the first step.

    It begins as a plain mean of few steps, so that a short run does not end near where it started.
    """

    @torch.no_grad()
    def update(averages: Sequence[Tensor], values: Sequence[Tensor], count: Tensor | int) -> None:
        share = 1 - min(decay, (1 + float(count)) / (10 + float(count)))
        for average, value in zip(averages, values, strict=True):
            if average.is_floating_point():
                share_here(average).lerp_(share_here(value), share)
            else:
                average.copy_(value)

    average = AveragedModel(model, multi_avg_fn=update, use_buffers=True)
    return average.requires_grad_(False).eval()
