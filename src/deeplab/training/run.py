"""A training run from its settings to its best model."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.pytorch import Callback, LightningModule, Trainer
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from deeplab import checkpoints
from deeplab._progress import progress
from deeplab._words import number_of
from deeplab.checkpoints import Checkpoint, Preprocessing
from deeplab.data import DataSet, in_words, open_dataset, regroup
from deeplab.data.doctor import examine, repair_hint
from deeplab.data.transforms import Augmentation
from deeplab.errors import DataError, DeepLabError, OutputError, SettingsError
from deeplab.files import clear_aside
from deeplab.inference import Segmenter, pick_device
from deeplab.models import SegmentationModel
from deeplab.settings import LARGEST_SIDE, TrainSettings, chosen
from deeplab.training import choices, config, fingerprint, loggers, report, teacher
from deeplab.training.batches import Epochs, Photos, RareCrops, TrainingCrops, loader
from deeplab.training.guard import Guard
from deeplab.training.processes import environment_of
from deeplab.training.recipes import RECIPES
from deeplab.training.record import Record, state_of, steps_done
from deeplab.training.samples import epochs_of, training_samples, validation_samples
from deeplab.training.schedule import schedule_of
from deeplab.training.start import calibrate, start_model
from deeplab.training.stopping import Termination, stoppable
from deeplab.training.task import SegmentationTask
from deeplab.training.trainer import keep_freed_memory, quiet, trainer_of

__all__ = ["run"]

logger = logging.getLogger(__name__)

FINGERPRINT = "fingerprint.json"

CLASS_WEIGHT_LIMIT = 10.0
"""No class weighs more, so that a handful of pixels does not steer the training."""


def run(settings: TrainSettings) -> Path:
    """See `deeplab.training.train`."""
    environment = environment_of(settings)
    plan = _prepare(settings, rank=environment.global_rank())
    _tell(plan)
    state = _resumed(plan) if settings.resume else None
    if state is not None and steps_done(state) >= plan.steps:
        logger.info(
            "the run in %s had ended, after all of its %d steps; nothing is left to train", plan.folder, plan.steps
        )
    else:
        _train(plan, environment, state)
    best = plan.folder / "best.safetensors"
    return best if best.exists() else plan.folder / "last.safetensors"


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What a run is to do, before anything is made for it."""

    settings: TrainSettings
    """With nothing left open."""
    reasons: Mapping[str, str]
    """For what was chosen."""
    dataset: DataSet
    data: fingerprint.Fingerprint
    machine: fingerprint.Machine
    before: Mapping[str, Any]
    """The values of the run that is resumed; empty: it begins."""
    rank: int
    """Of this process, of several that all come here."""
    epochs: Epochs

    @property
    def folder(self) -> Path:
        return self.settings.output

    @property
    def steps(self) -> int:
        return schedule_of(self.settings, steps_per_epoch=self.epochs.steps).steps


def _prepare(settings: TrainSettings, *, rank: int) -> _Plan:
    """Look at the data and the machine, and choose what is open."""
    if rank == 0:
        _check_folder(settings.output, resume=settings.resume)
    dataset = _open(settings)
    if settings.doctor and rank == 0:
        _examine(settings, dataset)
    data = fingerprint.read_data(training_samples(settings, dataset), dataset)
    machine = fingerprint.read_machine(str(pick_device(settings.device)))
    before = config.read(settings.output / config.CONFIG) if settings.resume else {}
    settings, reasons = choices.choose(settings, dataset, data, machine, before=before)
    return _Plan(
        settings=settings,
        reasons=reasons,
        dataset=dataset,
        data=data,
        machine=machine,
        before=before,
        rank=rank,
        epochs=epochs_of(settings, images=data.images, rank=rank),
    )


def _tell(plan: _Plan) -> None:
    """Log what one would want to know of the choices: where it is not as published, and a start from nothing."""
    settings, reasons = plan.settings, plan.reasons
    if settings.recipe is not None:
        published = RECIPES[settings.recipe]
        if published.differs:
            logger.info("recipe %s, but for this: %s", settings.recipe, published.differs)
        for name in published.options:
            if name in reasons:
                logger.info("%s: %s", name, reasons[name])
    if settings.weights == "none" and "weights" in reasons:
        logger.warning(
            "%s begins with random weights, as %s; 'deeplab models --weights' lists those for --weights",
            settings.backbone, reasons["weights"],
        )  # fmt: skip


def _resumed(plan: _Plan) -> Path | None:
    """What a resumed run goes on from; None: its beginning.

    Raises:
        SettingsError: It would not be the same run, or has other data.
    """
    config.check_same_run(plan.before, plan.settings)
    fingerprint.check_same_data(plan.folder / FINGERPRINT, plan.data, root=plan.dataset.root)
    if plan.rank == 0:
        clear_aside(plan.folder)
    return state_of(plan.folder)


def _train(plan: _Plan, environment: ClusterEnvironment, state: Path | None) -> None:
    """Train from the start weights, or from the `state` of the run."""
    settings, dataset, folder = plan.settings, plan.dataset, plan.folder
    model, norms = start_model(settings, dataset)
    instructor = teacher.load(settings.teacher, dataset) if settings.teacher is not None else None
    photos = _photos(settings, dataset)
    validation = Photos(validation_samples(settings, dataset), dataset, long_side=None)
    run_loggers = loggers.begin(settings, first=plan.rank == 0)
    if plan.rank == 0:
        config.write(folder / config.CONFIG, settings, plan.reasons)
        fingerprint.write(folder / FINGERPRINT, plan.data, plan.machine)
    images = number_of(len(photos), "image")
    logger.info("training on %s, validating on %d, writing to %s", images, len(validation), folder)

    counts = _counts(settings, photos)
    probabilities = None if instructor is None else teacher.Probabilities(folder / "teacher")
    rare = RareCrops(counts, chosen(settings.rare_crops)) if chosen(settings.rare_crops) > 0 else None
    crops = TrainingCrops(photos, _augmentation(settings, model, dataset), settings.seed, probabilities, rare)
    if state is None:
        calibrate(model, norms, crops)
    task = _task(plan, model, photos, class_weights=_class_weights(counts.sum(axis=0), settings.class_weights))
    first = _First(settings)
    if instructor is not None and probabilities is not None:
        first.ask = partial(teacher.ask, instructor, photos, probabilities)
    callbacks = [first, Guard(folder, on_nan=settings.on_nan), _record(plan, task, validation), Termination()]
    trainer = trainer_of(
        settings, environment, run_loggers, callbacks, epochs=task.schedule.epochs, validate=len(validation) > 0
    )
    checked = _Checked(validation, plan.rank, settings.processes)
    if settings.device == "cpu":
        keep_freed_memory()
    with loggers.ended(run_loggers), stoppable(trainer, folder), quiet():
        trainer.fit(
            task,
            loader(
                crops,
                plan.epochs,
                batch_size=chosen(settings.batch_size),
                workers=settings.workers,
                pin_memory=settings.device.startswith("cuda"),
            ),
            DataLoader(checked, batch_size=None, collate_fn=_as_it_is) if len(validation) else None,
            ckpt_path=state,
            weights_only=True,
        )
    if plan.rank == 0:
        shutil.rmtree(folder / "teacher", ignore_errors=True)


def _check_folder(folder: Path, *, resume: bool) -> None:
    if resume and not (folder / config.CONFIG).is_file():
        raise SettingsError(f"nothing to resume in {folder}; start the run without --resume")
    if not resume and folder.is_dir() and any(folder.iterdir()):
        raise OutputError(f"{folder} is not empty; go on with that run by --resume, or choose another --output")


def _open(settings: TrainSettings) -> DataSet:
    """The data set with the classes that it is to have."""
    dataset = open_dataset(settings.data, format=settings.format)
    if settings.classes is None:
        return dataset
    regrouped = regroup(dataset, settings.classes)
    taken = {old for olds in regrouped.groups.values() for old in olds}
    dropped = [name for name in dataset.classes if name not in taken]
    logger.info("classes: %s; ignored: %s", in_words(regrouped.groups), ", ".join(dropped) or "none")
    return regrouped


def _examine(settings: TrainSettings, dataset: DataSet) -> None:
    """Tell the warnings that the doctor has for what is trained and validated on, or raise DataError for an error."""
    parts = {"train": tuple(training_samples(settings, dataset))}
    if dataset.splits.get(settings.val_split):
        parts["val"] = validation_samples(settings, dataset)
    part = replace(dataset, splits=parts)
    diagnosis = examine(
        part,
        output_stride=settings.output_stride or 16,
        long_side=settings.long_side,
        largest_side=LARGEST_SIDE[pick_device(settings.device).type],
        progress=progress,
    )
    known = ("no-train", "nothing-labelled", "one-class-only") if settings.teacher is not None else ()
    errors = [finding for finding in diagnosis.errors if finding.kind not in known]
    if errors:
        more = f"; the first of {len(errors)} errors" if len(errors) > 1 else ""
        hint = f"{repair_hint(diagnosis)}; " if errors[0].repair else ""
        raise DataError(
            f"{dataset.root}: {errors[0].sentence(dataset.root)}; {errors[0].why} {errors[0].fix} "
            f"{hint}'deeplab doctor {dataset.root}' tells more{more}; --no-doctor trains nevertheless"
        )
    for finding in diagnosis.findings:
        if finding.severity == "warning":
            logger.warning("doctor: %s; %s", finding.sentence(dataset.root), finding.fix)


def _photos(settings: TrainSettings, dataset: DataSet) -> Photos:
    """What is trained on, kept in memory as far as it fits."""
    photos = Photos(training_samples(settings, dataset), dataset, long_side=settings.long_side)
    photos.keep(workers=settings.workers)
    if settings.teacher is None and not photos.labelled():
        raise SettingsError(
            f"every pixel of the masks in {', '.join(settings.train_splits)} of {dataset.root} is "
            f"{dataset.ignore_index}, to be ignored; nothing can be learnt from them without a --teacher"
        )
    return photos


def _counts(settings: TrainSettings, photos: Photos) -> NDArray[np.int64]:
    """The labelled pixels of each class in each photo, (photos, num_classes); zeros where nobody asks for them."""
    if settings.class_weights != "none" or chosen(settings.rare_crops) > 0:
        return photos.class_counts()
    return np.zeros((len(photos), len(photos.dataset.classes)), np.int64)


def _augmentation(settings: TrainSettings, model: SegmentationModel, dataset: DataSet) -> Augmentation:
    mean = tuple((255 * model.prepare.mean.flatten()).round().tolist())
    return Augmentation(
        chosen(settings.crop_size),
        chosen(settings.scale),
        fill=mean,
        ignore_index=dataset.ignore_index,
        photometric=settings.photometric,
        scale_step=settings.scale_step,
        probabilities_stride=teacher.STRIDE,
    )


def _class_weights(counts: NDArray[np.int64], kind: str) -> Tensor | None:
    """Weights by the share of each class: 1 in the mean over the pixels, before the limit.

    Args:
        counts: The labelled pixels of each class, (num_classes,).
    """
    if kind == "none":
        return None
    shares = counts / max(1, counts.sum())
    rarity = np.where(shares > 0, shares, 1.0) ** (-1.0 if kind == "balanced" else -0.5)
    weights = rarity / (shares * rarity).sum()
    return torch.from_numpy(np.where(shares > 0, weights.clip(max=CLASS_WEIGHT_LIMIT), 1.0)).float()


def _task(plan: _Plan, model: SegmentationModel, photos: Photos, *, class_weights: Tensor | None) -> SegmentationTask:
    settings, dataset = plan.settings, plan.dataset
    task = SegmentationTask(
        model if settings.shard else model.to(memory_format=torch.channels_last),  # which FSDP does not take
        settings,
        samples=photos.samples,
        num_classes=len(dataset.classes),
        ignore_index=dataset.ignore_index,
        epochs=plan.epochs,
        segmenter=lambda model: Segmenter(_checkpoint(plan, model, {}), device=str(task.device)),
        class_weights=class_weights,
    )
    return task


def _record(plan: _Plan, task: SegmentationTask, validation: Photos) -> Record:
    return Record(
        plan.folder,
        classes=plan.dataset.classes,
        save=lambda path, facts: checkpoints.save(
            path, _checkpoint(plan, task.best_guess, facts), half=plan.settings.half
        ),
        draw=lambda: _draw(task, folder=plan.folder, photos=validation),
    )


def _checkpoint(plan: _Plan, model: nn.Module, facts: Mapping[str, Any]) -> Checkpoint:
    assert isinstance(model, SegmentationModel)
    settings, dataset = plan.settings, plan.dataset
    options = {name: value for name, value in settings.as_dict().items() if name not in config.PLACES}
    training = {"data": dataset.root.resolve().name, **options, "torch": torch.__version__, **facts}
    preprocessing = Preprocessing(long_side=settings.long_side)
    return Checkpoint(model, dataset.classes, dataset.palette, preprocessing, training)


def _draw(task: SegmentationTask, *, folder: Path, photos: Photos) -> None:
    report.draw_curves(folder)
    if len(photos) == 0:
        return
    rows = []
    for index in np.linspace(0, len(photos) - 1, min(6, len(photos))).astype(int).tolist():
        image, target = photos[index]
        rows.append((image, target, task.predict(image)))
    dataset = photos.dataset
    report.draw_samples(
        folder / "samples.png",
        rows,
        classes=dataset.classes,
        palette=dataset.palette,
        ignore_index=dataset.ignore_index,
    )


class _First(Callback):
    """What the processes do before all else: see that they train alike, and ask the teacher."""

    def __init__(self, settings: TrainSettings) -> None:
        self.settings = settings
        self.ask: Callable[..., None] | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        values = self.settings.as_dict()
        for name, value in trainer.strategy.broadcast(values).items():
            if name not in config.PLACES and value != values[name]:
                raise SettingsError(
                    f"{name} is {value} in the first process but {values[name]} in process {trainer.global_rank}, as "
                    f"their machines are not alike; give --{name.replace('_', '-')}"
                )
        if self.ask is not None:
            self.ask(device=str(trainer.strategy.root_device), rank=trainer.global_rank, world_size=trainer.world_size)
            trainer.strategy.barrier()


class _Checked(Dataset[Any]):
    """This process's share of the photos, whole and one by one; all processes have as many.

    In the place of a file that cannot be used it has its DeepLabError, and None where there is no further photo.
    """

    def __init__(self, photos: Photos, rank: int, world_size: int) -> None:
        self.photos, self.rank, self.world_size = photos, rank, world_size

    def __len__(self) -> int:
        return -(-len(self.photos) // self.world_size)

    def __getitem__(self, place: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8 | np.uint16]] | DeepLabError | None:
        index = place * self.world_size + self.rank
        if index >= len(self.photos):
            return None
        try:
            return self.photos[index]
        except DeepLabError as error:
            return error


def _as_it_is(item: Any) -> Any:
    return item
