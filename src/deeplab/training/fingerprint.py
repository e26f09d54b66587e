"""What a run is chosen by: a fingerprint of the data and of the machine, as nnU-Net takes one of a medical data set.

nnU-Net: Isensee et al., Nature Methods 2021, arXiv 1904.08128, "Dataset fingerprint".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from deeplab._machine import cores, total_memory
from deeplab._words import number_of
from deeplab.data import DataSet, Sample, load_sample
from deeplab.errors import DataError
from deeplab.files import written_aside

__all__ = ["Fingerprint", "Machine", "check_same_data", "has_bf16", "read_data", "read_machine", "write"]

MEMORY_UNKNOWN = 8 * 10**9
"""Bytes that a machine is taken to have where the system does not say."""

LOOKED_AT = 200
"""Images that are read for the fingerprint, spread over all."""


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """Figures of the training images; sizes are (height, width) in pixels, lengths in pixels."""

    images: int
    names: str
    """SHA-256 of their file names, in order."""
    looked_at: int
    """The figures below are of so many of them."""
    median_size: tuple[int, int]
    smallest_size: tuple[int, int]
    largest_size: tuple[int, int]
    """Of the images with the fewest and the most pixels."""
    grey: bool
    """Whether the three bands are the same everywhere."""
    class_shares: dict[str, float]
    """Of the labelled pixels; 0 where a class is absent."""
    labelled: float
    """Share of the pixels that have a label."""
    thickness: dict[str, float]
    """How far a class reaches without a break along rows and columns, the median; classes that are there."""

    @property
    def long_side(self) -> int:
        return max(self.median_size)

    @property
    def size_spread(self) -> float:
        """The long side of the largest image over that of the smallest."""
        return max(self.largest_size) / max(self.smallest_size)

    @property
    def finest(self) -> float | None:
        """The thickness that a quarter of the classes stay within; None where nothing is labelled."""
        found = list(self.thickness.values())
        return float(np.quantile(found, 0.25, method="lower")) if found else None

    @property
    def present(self) -> dict[str, float]:
        """The shares of the classes that are there, or may be in images that were not looked at."""
        all_seen = self.looked_at == self.images
        return {name: share for name, share in self.class_shares.items() if share > 0 or not all_seen}


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a training can count on."""

    device: str
    name: str
    memory_gb: float
    """Of the GPU, or of the machine where it computes itself."""
    cores: int
    threads: int
    """That one computation uses."""
    bf16: bool
    """Whether the device computes in bfloat16 faster than in float32."""


def read_data(samples: Sequence[Sample], dataset: DataSet) -> Fingerprint:
    """Look at the samples, or at so many of them that it takes seconds.

    Raises:
        DataError, ImageError: One of them is not in order.
    """
    looked_at = samples[:: -(-len(samples) // LOOKED_AT)]
    num_classes = len(dataset.classes)
    sizes, grey = [], True
    counts, pixels = np.zeros(num_classes, np.int64), 0
    lengths = np.zeros((num_classes, 0), np.int64)
    for sample in looked_at:
        image, labels = load_sample(sample, dataset)
        sizes.append(image.shape[:2])
        grey = grey and bool((image == image[..., :1]).all())
        counts += np.bincount(labels[labels != dataset.ignore_index], minlength=num_classes)
        pixels += labels.size
        lengths = _add(lengths, _run_lengths(labels, num_classes=num_classes))
    by_area = sorted(sizes, key=lambda size: size[0] * size[1])
    median_height, median_width = np.median(sizes, axis=0).astype(int).tolist()
    return Fingerprint(
        images=len(samples),
        names=hashlib.sha256("\n".join(sample.image.name for sample in samples).encode()).hexdigest(),
        looked_at=len(looked_at),
        median_size=(median_height, median_width),
        smallest_size=by_area[0],
        largest_size=by_area[-1],
        grey=grey,
        class_shares=dict(zip(dataset.classes, (counts / max(1, counts.sum())).tolist(), strict=True)),
        labelled=float(counts.sum() / pixels),
        thickness={
            name: _median_of(histogram)
            for name, histogram in zip(dataset.classes, lengths, strict=True)
            if histogram.any()
        },
    )


def read_machine(device: str) -> Machine:
    """The machine as seen from `device`: "cpu", "mps", "cuda" or "cuda:N"."""
    name, memory = "CPU", total_memory() or MEMORY_UNKNOWN
    if device.startswith("cuda"):
        properties = torch.cuda.get_device_properties(device)
        name, memory = properties.name, properties.total_memory
    return Machine(
        device=device,
        name=name,
        memory_gb=round(memory / 1e9, 1),
        cores=cores(),
        threads=torch.get_num_threads(),
        bf16=has_bf16(device),
    )


def has_bf16(device: str) -> bool:
    """Whether `device` computes in bfloat16 faster than in float32."""
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    names = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")  # no public name in every torch
    return device == "cpu" and any(getattr(torch.cpu, name, bool)() for name in names)


def write(path: Path, data: Fingerprint, machine: Machine) -> None:
    """Write both as JSON."""
    with written_aside(path) as aside:
        aside.write_text(json.dumps({"data": asdict(data), "machine": asdict(machine)}, indent=1) + "\n", "utf-8")


def check_same_data(path: Path, data: Fingerprint, *, root: Path) -> None:
    """Raise DataError where a resumed run would go on with other data than those in its fingerprint.json."""
    try:
        before = json.loads(path.read_text(encoding="utf-8"))["data"]
    except (OSError, ValueError, KeyError):
        return  # it was stopped before it had written that
    now = json.loads(json.dumps(asdict(data)))
    other = [name for name in before if name in now and now[name] != before[name]]
    if other:
        what = f"other {other[0]}"
        if "images" in other:
            what = f"{number_of(before['images'], 'image')} then, {now['images']} now"
        raise DataError(
            f"{root}: no longer the data that the run in {path.parent} began with ({what}); "
            "bring them back, or start another --output"
        )


def _run_lengths(labels: NDArray[Any], *, num_classes: int) -> NDArray[np.int64]:
    """How many stretches of one class along rows and columns have each length, (num_classes, longest + 1)."""
    found = np.zeros((num_classes, max(labels.shape) + 1), np.int64)
    for lines in (labels, labels.T):
        begins = np.ones(lines.shape, bool)
        begins[:, 1:] = lines[:, 1:] != lines[:, :-1]
        places = np.flatnonzero(begins)
        length, label = np.diff(np.append(places, lines.size)), lines.ravel()[places]
        known = label < num_classes
        np.add.at(found, (label[known], length[known]), 1)
    return found


def _add(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
    """The sum of two tables with as many rows; the narrower one goes on with zeros."""
    small, large = sorted((first, second), key=lambda table: table.shape[1])
    total = large.copy()
    total[:, : small.shape[1]] += small
    return total


def _median_of(histogram: NDArray[np.int64]) -> float:
    """The median of numbers of which histogram[n] are n."""
    return float(np.searchsorted(np.cumsum(histogram), histogram.sum() / 2))
