"""A step of training beside that of torchvision's reference script, for the same network: seconds for an image.

    python benchmarks/train_step.py ../shared/data/camvid
    python benchmarks/train_step.py ../shared/data/camvid --networks mobilenet_v3_large --from files --workers 2
    python benchmarks/train_step.py ../shared/data/camvid --device cuda --batch-size 16 --rounds 50

Ours is `deeplab train --recipe torchvision` with all that a step of it does: the trainer, the look at the loss and the
gradient, what is recorded. Theirs is a step of references/segmentation/train.py: SGD with momentum, the second head
with 0.5 and ten times the rate, a rate that falls with each step, the loss read after it; with the transforms of its
presets. The network, the crops, the images in a step and float32 are the same, but for the second head on MobileNetV3:
theirs reads 40 channels at stride 8, ours 112 at stride 16, 13 and 26 million multiply-adds of 8.6 billion at 480.

Each has a process of its own, which takes turns with the other, so that what else the machine does touches both alike;
the ratio is the median of those of neighbours in time. CPU seconds count all threads, but not those of --workers.

A step begins with
- memory: one batch, as the loader of each gives it,
- files: photos and masks that are read for it,
- kept: as ours does on a data set that takes less than 2 GiB of memory, which is read once; theirs reads the files.

Each line is a row: network, what it begins with, then on the clock and of CPU seconds: ours, theirs, theirs over ours.
"""

from __future__ import annotations

import argparse
import logging
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from importlib import import_module
from itertools import repeat
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import torch
from lightning.pytorch import Callback
from PIL import Image
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim import SGD
from torch.optim.lr_scheduler import PolynomialLR
from torch.utils.data import DataLoader, Dataset
from torchvision.models import segmentation
from torchvision.transforms import InterpolationMode, RandomCrop
from torchvision.transforms import functional as F

import deeplab
from deeplab.data import Sample, open_dataset

NETWORKS: dict[str, dict[str, Any]] = {
    "resnet50": {"backbone": "resnet50"},
    "mobilenet_v3_large": {
        "backbone": "mobilenetv3_large",
        "output_stride": 16,
        "model_options": {"dilate_first": True, "gate_slope": 1 / 6, "detail": "output"},
    },
}
"""What torchvision calls them behind `deeplabv3_`; for ours, options over those of the recipe."""

BEGINNINGS = ("memory", "files", "kept")
RATE = 0.01
WARM_UP = 2
"""Rounds that are not counted."""

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Plan(NamedTuple):
    """What both are to do."""

    data: Path
    network: str
    beginning: str
    crop_size: int
    batch_size: int
    device: str
    workers: int
    steps: int


class Seconds(NamedTuple):
    """Of one step."""

    on_the_clock: float
    of_cpu: float


class Clock:
    """It runs in the turns of this process only, which the other end of the connection gives."""

    def __init__(self, connection: Connection, device: str) -> None:
        self.connection = connection
        self.on_gpu = device.startswith("cuda")

    def wait(self) -> None:
        self.connection.recv()
        self.start = time.perf_counter(), time.process_time()

    def step_is_done(self) -> None:
        if self.on_gpu:
            torch.cuda.synchronize()
        self.connection.send(Seconds(time.perf_counter() - self.start[0], time.process_time() - self.start[1]))
        self.wait()


class ClockCallback(Callback):
    """A clock for Lightning's trainer; the last of the callbacks, so that the work of the others counts."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_train_start(self, *_: Any) -> None:
        self.clock.wait()

    def on_train_batch_end(self, *_: Any) -> None:
        self.clock.step_is_done()


class Same(Dataset[Any]):
    """One batch as often as is wanted."""

    def __init__(self, batch: Any, times: int) -> None:
        self.batch, self.times = batch, times

    def __len__(self) -> int:
        return self.times

    def __getitem__(self, _: int) -> Any:
        return self.batch


def ours(connection: Connection, plan: Plan, folder: Path) -> None:
    """`deeplab train`, with a clock."""
    logging.disable(logging.WARNING)
    run = import_module("deeplab.training.run")
    make_trainer, make_loader = run.trainer_of, run.loader

    def with_clock(*arguments: Any, **options: Any) -> Any:
        trainer = make_trainer(*arguments, **options)
        trainer.callbacks.append(ClockCallback(Clock(connection, plan.device)))
        return trainer

    def one_batch(*arguments: Any, **options: Any) -> DataLoader[Any]:
        batch = next(iter(make_loader(*arguments, **options)))
        return DataLoader(Same(batch, plan.steps), batch_size=None, collate_fn=lambda same: same)

    with ExitStack() as patches:
        patches.enter_context(patch.object(run, "trainer_of", with_clock))
        if plan.beginning == "memory":
            patches.enter_context(patch.object(run, "loader", one_batch))
        if plan.beginning == "files":
            patches.enter_context(patch.object(run.Photos, "keep", lambda *_, **__: None))
        deeplab.train(
            plan.data,
            recipe="torchvision",
            **{"atrous_rates": (12, 24, 36), **NETWORKS[plan.network]},
            weights="none",
            crop_size=plan.crop_size,
            learning_rate=RATE,
            steps=plan.steps,
            passes=plan.steps * plan.batch_size,  # an epoch that does not end
            batch_size=plan.batch_size,
            val_split="none",
            doctor=False,
            device=plan.device,
            precision="32",
            workers=plan.workers,
            output=folder,
        )


def theirs(connection: Connection, plan: Plan, folder: Path) -> None:
    """A step of the reference script after the other."""
    torch.backends.cudnn.benchmark = True
    dataset = open_dataset(plan.data)
    build: Callable[..., Any] = getattr(segmentation, f"deeplabv3_{plan.network}")
    model = build(weights=None, weights_backbone=None, num_classes=len(dataset.classes), aux_loss=True)
    model = model.to(plan.device).train()
    groups: list[dict[str, Any]] = [
        {"params": [*model.backbone.parameters()]},
        {"params": [*model.classifier.parameters()]},
        {"params": [*model.aux_classifier.parameters()], "lr": 10 * RATE},
    ]
    optimizer = SGD(groups, lr=RATE, momentum=0.9, weight_decay=1e-4)
    schedule = PolynomialLR(optimizer, total_iters=plan.steps, power=0.9)
    crops = TheirCrops(dataset.split("train"), crop_size=plan.crop_size, ignore_index=dataset.ignore_index)
    loader = DataLoader(crops, plan.batch_size, shuffle=True, num_workers=plan.workers, drop_last=True)
    batches: Iterable[tuple[Tensor, Tensor]] = loader
    if plan.beginning == "memory":
        batches = repeat(next(iter(loader)))
    clock = Clock(connection, plan.device)
    clock.wait()
    while True:
        for image, target in batches:
            image, target = image.to(plan.device), target.to(plan.device)
            losses = {
                name: cross_entropy(logits, target, ignore_index=dataset.ignore_index)
                for name, logits in model(image).items()
            }
            loss = losses["out"] + 0.5 * losses["aux"]
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
            loss.item()
            clock.step_is_done()


class TheirCrops(Dataset[tuple[Tensor, Tensor]]):
    """Scale of the short side, flip, crop and normalisation of the training preset, on Pillow's images."""

    def __init__(self, samples: Iterable[Sample], *, crop_size: int, ignore_index: int) -> None:
        self.samples = tuple(samples)
        self.crop_size, self.ignore_index = crop_size, ignore_index
        self.base_size = round(520 / 480 * crop_size)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        sample = self.samples[index]
        assert isinstance(sample.image, Path)
        assert isinstance(sample.mask, Path)
        image, target = Image.open(sample.image).convert("RGB"), Image.open(sample.mask)
        side = random.randint(self.base_size // 2, 2 * self.base_size)
        image, target = F.resize(image, side), F.resize(target, side, InterpolationMode.NEAREST)
        if random.random() < 0.5:
            image, target = F.hflip(image), F.hflip(target)
        missing = [max(0, self.crop_size - length) for length in image.size]
        if any(missing):
            image, target = F.pad(image, [0, 0, *missing]), F.pad(target, [0, 0, *missing], fill=self.ignore_index)
        place = RandomCrop.get_params(image, (self.crop_size, self.crop_size))
        image, target = F.crop(image, *place), F.crop(target, *place)
        pixels = F.normalize(F.convert_image_dtype(F.pil_to_tensor(image)), MEAN, DEVIATION)
        return pixels, torch.as_tensor(np.array(target), dtype=torch.int64)


def in_turns(plan: Plan) -> list[tuple[Seconds, Seconds]]:
    """Steps of ours and of theirs, one of each after the other."""
    context = get_context("spawn")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as children:
        ends = []
        for train in (ours, theirs):
            end, other_end = context.Pipe()
            process = context.Process(target=train, args=(other_end, plan, Path(folder) / "run"))
            process.start()
            other_end.close()
            children.callback(process.join)
            children.callback(process.kill)  # Lightning would not heed a softer signal
            ends.append(end)
        rounds = []
        for _ in range(plan.steps - 1):
            pair = []
            for end in ends:
                end.send(None)
                pair.append(end.recv())
            rounds.append((pair[0], pair[1]))
    return rounds[WARM_UP:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="data set whose masks are images of class indices")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--from", nargs="+", choices=BEGINNINGS, default=list(BEGINNINGS), dest="beginnings")
    parser.add_argument("--crop-size", type=int, default=480)
    parser.add_argument("--batch-size", type=int, default=4, help="at least 2, for BatchNorm")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--workers", type=int, default=0, help="processes of each that read images")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    for network in arguments.networks:
        for beginning in arguments.beginnings:
            plan = Plan(
                arguments.data.resolve(),
                network,
                beginning,
                arguments.crop_size,
                arguments.batch_size,
                arguments.device,
                arguments.workers,
                steps=arguments.rounds + WARM_UP + 1,  # the last one is not done
            )
            try:
                rounds = in_turns(plan)
            except EOFError:
                sys.exit("train_step: one of the two processes has ended; its own words are above")
            cells = [network, beginning]
            for number in range(len(Seconds._fields)):
                pairs = [(one[number], other[number]) for one, other in rounds]
                cells += [f"{statistics.median(column) / plan.batch_size:.3f}" for column in zip(*pairs, strict=True)]
                cells += [f"{statistics.median(other / one for one, other in pairs):.2f}"]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
