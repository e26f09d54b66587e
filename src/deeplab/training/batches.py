"""From files to batches: images kept in memory if they fit, varied by (seed, epoch, place in the epoch)."""

from __future__ import annotations

import logging
import math
import multiprocessing
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from deeplab._machine import cores
from deeplab._words import number_of
from deeplab.data import DataSet, Sample, load_sample
from deeplab.data.transforms import Augmentation
from deeplab.errors import DeepLabError
from deeplab.files import File
from deeplab.images import resize_image, resize_labels, size_at

__all__ = [
    "Batch",
    "Epochs",
    "Photos",
    "RareCrops",
    "TrainingCrops",
    "files",
    "loader",
    "seeded",
    "workers_that_fit",
]

logger = logging.getLogger(__name__)

MOST_TURNS = 10
"""How much oftener than by its turn a photo is shown for one rare class, at most."""

CACHE_BYTES = 2 * 2**30
"""Decoded images are kept in memory when all of them take less."""

SHARED_MEMORY = Path("/dev/shm")
"""Where Linux keeps the batches that a worker hands over."""

AHEAD = 3
"""Batches of a worker that are there at a time: two that wait, and one that is used."""


class Batch(NamedTuple):
    """What a training step gets; the tensors are those of `TrainingSample`, stacked."""

    image: Tensor
    labels: Tensor
    inside: Tensor
    probabilities: Tensor | None
    indices: tuple[int, ...]
    """Places in the list of samples, to name the files when something is wrong."""


class Photos:
    """Samples of a data set by index: read, checked, resized to `long_side`; from memory after `keep`."""

    def __init__(self, samples: Sequence[Sample], dataset: DataSet, *, long_side: int | None) -> None:
        self.samples = samples
        self.dataset = dataset
        self.long_side = long_side
        self._kept: list[tuple[NDArray[np.uint8], NDArray[np.uint8 | np.uint16]]] | None = None

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8 | np.uint16]]:
        """Image uint8 (H, W, 3) and labels (H, W)."""
        return self._kept[index] if self._kept is not None else self._read(index)

    def keep(self, *, workers: int = 0, limit: int = CACHE_BYTES) -> None:
        """Read everything into memory if it takes less than `limit` bytes, judged by up to 20 images.

        Args:
            workers: Processes that will read from it. Where they are not forked, each holds a copy.
        """
        copies = 1 if multiprocessing.get_start_method() == "fork" else 1 + workers
        some = range(0, len(self), -(-len(self) // 20))
        needed = len(self) * sum(part.nbytes for index in some for part in self._read(index)) / len(some)
        if copies * needed < limit:
            with ThreadPoolExecutor(cores()) as pool:
                self._kept = list(pool.map(self._read, range(len(self))))
            logger.info("%s kept in memory (%.0f MB)", number_of(len(self), "image"), needed / 1e6)

    def labelled(self) -> bool:
        """Whether any pixel has a label; looks no further than the first photo that has one."""
        return any((self[index][1] != self.dataset.ignore_index).any() for index in range(len(self)))

    def class_counts(self) -> NDArray[np.int64]:
        """The pixels of each class in each photo, (len(self), num_classes)."""
        with ThreadPoolExecutor(cores()) as pool:
            return np.array(list(pool.map(self._class_counts, range(len(self)))))

    def _class_counts(self, index: int) -> NDArray[np.int64]:
        labels = self[index][1]
        return np.bincount(labels[labels != self.dataset.ignore_index], minlength=len(self.dataset.classes))

    def _read(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8 | np.uint16]]:
        image, labels = load_sample(self.samples[index], self.dataset)
        size = size_at(self.long_side, image.shape[:2])
        if size == image.shape[:2]:
            return image, labels
        return resize_image(image, size), resize_labels(labels, size)


@dataclass(frozen=True)
class RareCrops:
    """Aims some of the crops at a class, drawn by the inverse of its share: at one of its pixels, in any photo.

    A class of a few stray pixels would take nearly all of them, and teach its photos by heart: no photo is shown more
    than MOST_TURNS times as often for a class as it would be without.
    """

    counts: NDArray[np.int64]
    """Pixels of each class in each photo, (photos, num_classes)."""
    share: float
    """Of the crops that are aimed, 0 .. 1."""

    @cached_property
    def chances(self) -> Tensor:
        """Of each class to be what an aimed crop is aimed at, (num_classes,); what is missing to 1 is not aimed."""
        there, photos = self.counts.sum(axis=0), np.count_nonzero(self.counts, axis=0)
        most = MOST_TURNS * photos / (max(1, len(self.counts)) * max(self.share, 1e-9))
        rarity = np.where(there > 0, 1 / np.maximum(there, 1), 0.0)
        chances = np.zeros(len(there))
        while rarity.any():  # what some cannot have goes to the others
            wanted = (1 - chances.sum()) * rarity / rarity.sum()
            chances = np.where(rarity > 0, np.minimum(wanted, most), chances)
            if (wanted <= most).all():
                break
            rarity[wanted > most] = 0
        return torch.from_numpy(chances)

    def draw(self, generator: Generator) -> tuple[int, int] | None:
        """The index of a photo and the class to aim at in it, or None."""
        if torch.rand((), generator=generator) >= self.share * self.chances.sum():
            return None
        label = int(torch.multinomial(self.chances, 1, generator=generator))
        photos = np.flatnonzero(self.counts[:, label])
        return int(photos[torch.randint(len(photos), (), generator=generator)]), label


@dataclass(frozen=True)
class TrainingCrops(Dataset[Any]):
    """Random crops of photos, by (epoch, place in the epoch, index of the photo)."""

    photos: Photos
    augmentation: Augmentation
    seed: int
    probabilities: Callable[[int], Tensor] | None = None
    """A teacher's probabilities of a photo by its index."""
    rare: RareCrops | None = None

    def __getitem__(self, key: tuple[int, int, int]) -> Any:
        epoch, place, index = key
        generator = seeded(self.seed, epoch, place)
        aim = None if self.rare is None else self.rare.draw(generator)
        if aim is not None:
            index, label = aim
        try:
            image, labels = self.photos[index]
        except DeepLabError as error:
            return error  # raised by the training step; a worker process would wrap it into a traceback
        centre = None
        if aim is not None:
            pixels = np.flatnonzero(labels == label)
            pixel = int(pixels[torch.randint(len(pixels), (), generator=generator)])
            centre = pixel // labels.shape[1], pixel % labels.shape[1]
        sample = self.augmentation(
            torch.from_numpy(image).permute(2, 0, 1),  # (H, W, 3) -> (3, H, W)
            torch.from_numpy(labels if labels.dtype == np.uint8 else labels.astype(np.int32)),
            None if self.probabilities is None else self.probabilities(index),
            centre=centre,
            generator=generator,
        )
        return sample, index


class Epochs(Sampler[tuple[int, int, int]]):
    """Shuffled epochs of whole steps: the last one is filled from the start of the same shuffle.

    A step is `accumulate` batches on each of `world_size` processes, of which each takes its share of every batch. An
    epoch goes over all images `passes` times, shuffled anew each time.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        *,
        seed: int,
        passes: int = 1,
        accumulate: int = 1,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.length, self.seed, self.passes, self.rank, self.world_size = length, seed, passes, rank, world_size
        images = batch_size * accumulate * world_size
        self.steps = -(-length * passes // images)
        """In an epoch."""
        self.places = self.steps * images
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """The next iteration is that of this epoch, counted from 0."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        generator = seeded(self.seed, self.epoch, -1)
        order = torch.cat([torch.randperm(self.length, generator=generator) for _ in range(self.passes)]).tolist()
        for place in range(self.rank, self.places, self.world_size):
            yield self.epoch, place, order[place % len(order)]

    def __len__(self) -> int:
        return self.places // self.world_size


def seeded(*numbers: int) -> Generator:
    """A generator that depends on all of the numbers."""
    entropy = np.random.SeedSequence([number % 2**32 for number in numbers]).generate_state(1, np.uint64)[0]
    return Generator().manual_seed(int(entropy % 2**63))


def loader(crops: TrainingCrops, epochs: Epochs, *, batch_size: int, workers: int, pin_memory: bool) -> DataLoader[Any]:
    """Batches of `batch_size`; each is a `Batch`, or the DeepLabError of a file that cannot be used.

    Args:
        workers: Processes that read; as many of them as there is shared memory for, where that is little.
    """
    workers = _with_room(workers, crops, batch_size) if workers else 0
    return DataLoader(
        crops,
        batch_size=batch_size,
        sampler=epochs,
        num_workers=workers,
        collate_fn=_collate,
        persistent_workers=workers > 0,
        pin_memory=pin_memory,
    )


def workers_that_fit(device: str, *, devices: int) -> int:
    """Processes that read images for each of the devices: on GPUs one per core up to 8; on a CPU, which shares its
    cores with them, few.
    """
    mine = cores() // devices
    return max(1, min(8, mine)) if device != "cpu" else min(2, mine // 4)


def _with_room(workers: int, crops: TrainingCrops, batch_size: int) -> int:
    """How many of the workers can hand over their batches: where there is no room, torch waits for ever."""
    if not SHARED_MEMORY.is_dir():
        return workers
    height, width = crops.augmentation.size
    pixel = 3 + 4 + 1  # bytes of the image, the labels, and whether it is inside
    if crops.probabilities is not None:
        pixel += math.ceil(4 * len(crops.photos.dataset.classes) / crops.augmentation.probabilities_stride**2)
    needed, free = batch_size * height * width * pixel, shutil.disk_usage(SHARED_MEMORY).free
    room = int(free / (AHEAD * needed))
    if room < workers:
        logger.warning(
            "%s has %.0f MB left, so that %d of %d processes read images, and this one where there are none; "
            "a container gets more by --shm-size 2g",
            SHARED_MEMORY, free / 1e6, room, workers,
        )  # fmt: skip
    return min(workers, room)


def _collate(items: list[Any]) -> Batch | DeepLabError:
    for item in items:
        if isinstance(item, DeepLabError):
            return item
    samples, indices = zip(*items, strict=True)
    images, labels, inside, probabilities = zip(*samples, strict=True)
    return Batch(
        torch.stack(images),
        torch.stack(labels),
        torch.stack(inside),
        None if probabilities[0] is None else torch.stack(probabilities),
        indices,
    )


def files(samples: Sequence[Sample], indices: Sequence[int]) -> list[File]:
    """The image files of a batch."""
    return [samples[index].image for index in indices]
