"""Every value of a run and the reason for it: given, or chosen from the data and the machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from deeplab.data import DataSet, Sample
from deeplab.errors import SettingsError
from deeplab.files import written_aside
from deeplab.images import read_image, size_at
from deeplab.inference import pick_device
from deeplab.settings import LEARNING_RATES, WEIGHT_DECAYS, TrainSettings
from deeplab.training.batches import workers_that_fit
from deeplab.weights import shipped

__all__ = ["check_same_run", "choose", "training_samples", "validation_samples", "write"]

LARGEST_SIDE = 1024
"""Pixels; larger images are shrunk to it first."""

LARGEST_CROP = 512
"""Pixels."""

Reasons = dict[str, str]

PLACES = ("data", "output", "config", "resume", "device", "workers", "on_nan")
"""Settings that say where and how, not what: free to change when a run is resumed, not told by its model."""


def choose(settings: TrainSettings, dataset: DataSet) -> tuple[TrainSettings, Reasons]:
    """The settings with nothing left open, and the reason for each value that was.

    Raises:
        SettingsError: Values that cannot work with each other or with the data.
    """
    chosen: dict[str, Any] = {}
    why: Reasons = {}

    def take(name: str, value: Any, reason: str) -> None:
        chosen[name], why[name] = value, reason

    sizes = _sizes(training_samples(settings, dataset))
    if settings.long_side is None and np.median(sizes.max(axis=1)) > LARGEST_SIDE:
        take("long_side", LARGEST_SIDE, f"images are larger than {LARGEST_SIDE} pixels")
    if settings.crop_size is None:
        long_side = chosen.get("long_side", settings.long_side)
        short = int(np.median([min(size_at(long_side, size)) for size in sizes.tolist()]))
        side = min(short, LARGEST_CROP)
        take("crop_size", (side, side), f"short side of the images ({short}), at most {LARGEST_CROP}")
    if settings.learning_rate is None:
        take("learning_rate", LEARNING_RATES[settings.optimizer], f"usual for {settings.optimizer}")
    if settings.weight_decay is None:
        take("weight_decay", WEIGHT_DECAYS[settings.optimizer], f"usual for {settings.optimizer}")
    if settings.warmup_epochs is None:
        take("warmup_epochs", min(1.0, settings.epochs / 10), "one epoch, at most a tenth of the run")
    device = str(pick_device(settings.device))
    if settings.device == "auto":
        take("device", device, "the fastest here")
    if settings.precision == "auto":
        fast = has_bf16(device)
        take(
            "precision",
            "bf16" if fast else "32",
            f"{device} {'computes' if fast else 'does not compute'} bf16 fast",
        )
    if settings.workers < 0:
        take("workers", workers_that_fit(device), f"fits the cores for training on {device}")
    if settings.weights == "auto":
        take("weights", *_start(settings))
    if settings.val_split != "none" and not dataset.splits.get(settings.val_split):
        if settings.val_split != "val":
            dataset.split(settings.val_split)  # raises: it was asked for
        take("val_split", "none", "the data has no split 'val'; the last model counts as the best")
    settings = replace(settings, **chosen)
    _check(settings, dataset)
    return settings, why


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


def has_bf16(device: str) -> bool:
    """Whether `device` computes in bfloat16 faster than in float32."""
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    names = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")  # no public name in every torch
    return device == "cpu" and any(getattr(torch.cpu, name, bool)() for name in names)


def write(path: Path, settings: TrainSettings, reasons: Reasons) -> None:
    """Write every value as YAML with its reason behind it; `deeplab train --config` reads it back."""
    defaults = {option.name: option.default for option in fields(settings)}
    lines = []
    for name, value in settings.as_dict().items():
        if name in ("config", "resume"):
            continue
        default = getattr(settings, name) == defaults[name]
        reason = reasons.get(name, "default" if default else "given")
        text = yaml.safe_dump([value], default_flow_style=True, width=10_000, allow_unicode=True).strip()
        lines.append(f"{name}: {text[1:-1]}  # {reason}\n")
    with written_aside(path) as aside:
        aside.write_text("".join(lines), encoding="utf-8")


def check_same_run(path: Path, settings: TrainSettings) -> None:
    """Raise SettingsError where a resumed run would go on with other values than those in its config.yaml."""
    before = yaml.safe_load(path.read_text(encoding="utf-8"))
    for name, value in settings.as_dict().items():
        if name not in PLACES and before.get(name) != value:
            option = f"--{name.replace('_', '-')}"
            raise SettingsError(
                f"{option} is {value} but the run in {path.parent} has {before.get(name)}; "
                f"resume it without {option}, or start another --output"
            )


def _sizes(samples: Sequence[Sample]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """(height, width) of up to 20 images, spread over all."""
    return np.array([read_image(sample.image).shape[:2] for sample in samples[:: -(-len(samples) // 20)]])


def _start(settings: TrainSettings) -> tuple[str, str]:
    """The weights to start from, and why."""
    if "objects" in shipped() and settings.backbone == "mobilenetv2":
        return "objects", "ships with this backbone"
    return "none", f"none ship with the backbone {settings.backbone}"


def _check(settings: TrainSettings, dataset: DataSet) -> None:
    if settings.warmup_epochs is not None and settings.warmup_epochs > settings.epochs:
        raise SettingsError(
            f"warmup_epochs {settings.warmup_epochs:g} is longer than the training "
            f"of {settings.epochs} epochs; shorten it or train longer"
        )
    if settings.val_split != "none" and settings.validate_every > settings.epochs:
        raise SettingsError(
            f"validate_every {settings.validate_every} is longer than the training "
            f"of {settings.epochs} epochs; lower it, or use --val-split none"
        )
    if len(dataset.classes) < 2:
        raise SettingsError(
            f"one class, '{dataset.classes[0]}', of {dataset.root}; training needs at least two, such as background"
        )
    if settings.freeze != "none" and settings.weights == "none":
        raise SettingsError(
            f"freeze {settings.freeze} would keep random weights, as weights is none; "
            "choose --weights, or --freeze none"
        )
    if settings.precision == "bf16" and settings.device == "mps":
        raise SettingsError("precision bf16 is not for mps; use --precision 32")
    there = torch.cuda.device_count() if settings.device == "cuda" else 1
    if settings.devices > there:
        raise SettingsError(
            f"devices is {settings.devices} but {settings.device} has {there} here; use --devices {there}"
        )
