"""What a run trains and validates on, and in which epochs it goes through that."""

from __future__ import annotations

from deeplab.data import DataSet, Sample
from deeplab.errors import SettingsError
from deeplab.settings import TrainSettings, chosen
from deeplab.training.batches import Epochs

__all__ = ["epochs_of", "training_samples", "validation_samples"]


def training_samples(settings: TrainSettings, dataset: DataSet) -> list[Sample]:
    """The labelled samples of the training splits; with a teacher, the unlabelled ones too."""
    samples = [sample for split in settings.train_splits for sample in dataset.split(split)]
    if settings.teacher is None:
        samples = [sample for sample in samples if sample.mask is not None]
    if not samples:
        raise SettingsError(
            f"no masks in {', '.join(settings.train_splits)} of {dataset.root}; choose other --train-splits"
        )
    return samples


def validation_samples(settings: TrainSettings, dataset: DataSet) -> tuple[Sample, ...]:
    """The samples to validate on; none where validation is off."""
    if settings.val_split == "none":
        return ()
    samples = tuple(sample for sample in dataset.split(settings.val_split) if sample.mask is not None)
    if not samples:
        raise SettingsError(f"split '{settings.val_split}' of {dataset.root} has no masks; choose another --val-split")
    return samples[: settings.val_limit]


def epochs_of(settings: TrainSettings, *, images: int, rank: int = 0) -> Epochs:
    """The epochs that the settings ask for."""
    return Epochs(
        images,
        chosen(settings.batch_size),
        seed=settings.seed,
        passes=chosen(settings.passes),
        accumulate=chosen(settings.accumulate),
        rank=rank,
        world_size=settings.processes,
    )
