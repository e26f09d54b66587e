"""How long models take from a photo's file to its label map: in turns, step by step, and what the machine could do."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deeplab.errors import CheckpointError
from deeplab.images import mirrored, write_image
from deeplab.inference import Segmenter
from deeplab.inference.network import Network, OfPyTorch
from deeplab.kernels.upsample_argmax import compile_now

if TYPE_CHECKING:
    from deeplab.layers import Work
    from deeplab.models import SegmentationModel

__all__ = ["Stopwatch", "Timing", "float32_peak", "time_models"]

REST = 0.1
"""Seconds between two turns: the threads of one engine wait busily for more work, of onnxruntime for 0.05 seconds."""

PEAK_SIDE, PEAK_RUNS = 2048, 6
"""Of the square matrices, and how often they are multiplied."""


@dataclass(frozen=True)
class Timing:
    """A model on pictures of one size; seconds are of one picture, one number a round."""

    model: str
    size: tuple[int, int]
    """(height, width) in pixels, of the picture."""
    seen: tuple[int, int]
    """That to which it is scaled for the network, before tiles and scales."""
    seconds: tuple[float, ...]
    """All of it, from the file to the label map."""
    reading: float
    """Median of the seconds before the network, which decode and scale the picture."""
    network: float
    """Median of the seconds in the network."""
    labels: float
    """Median of the other seconds, which make the label map."""
    multiply_adds: int | None
    """Of the convolutions, for one picture; None: not known of an exported network."""
    inside: int | None
    """Those of them that are not on padding."""
    agreement: float | None
    """Share of the pixels that have the labels of the first model; None: it has other classes."""

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def quartiles(self) -> tuple[float, float]:
        first, third = np.quantile(self.seconds, (0.25, 0.75))
        return float(first), float(third)

    def share_of_peak(self, peak: float | None) -> float | None:
        """Multiply-adds that are not on padding, a second, over `peak`, those of the machine."""
        return None if self.inside is None or peak is None else self.inside / self.median / peak


def time_models(
    segmenters: Mapping[str, Segmenter],
    picture: NDArray[np.uint8],
    *,
    sizes: Sequence[tuple[int, int]],
    rounds: int,
    batch_size: int = 1,
    on_turn: Callable[[], None] = lambda: None,
) -> list[Timing]:
    """Let the segmenters, by name, take turns with a picture of each of the `sizes`, (height, width).

    Args:
        picture: uint8 (H, W, 3), which is cut, or goes on in its mirror images; it is read from a JPEG file.
        rounds: Turns of each that count, at each size, after one that does not.
        batch_size: The picture is segmented so many times at once.
        on_turn: Called after each turn.

    Raises:
        DeepLabError: As the segmenters.
    """
    timings = []
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            file = Path(folder) / f"{size[0]}x{size[1]}.jpg"
            write_image(file, mirrored(picture, size))
            watches = {name: Stopwatch(each, batch_size=batch_size) for name, each in segmenters.items()}
            labels = {}
            for number in range(1 + rounds):
                for name, watch in watches.items():
                    time.sleep(REST)
                    labels[name] = watch.run(file)
                    if number == 0:
                        watch.turns.clear()  # the first run of an engine prepares it
                    on_turn()
            first = next(iter(segmenters))
            for name, watch in watches.items():
                same_classes = segmenters[name].classes == segmenters[first].classes
                agreement = float((labels[name] == labels[first]).mean()) if same_classes else None
                timings.append(watch.timing(name, size, agreement))
    return timings


class Stopwatch:
    """A segmenter whose turns are timed, after the first as those of one that has segmented many photos."""

    def __init__(self, segmenter: Segmenter, *, batch_size: int = 1) -> None:
        compile_now()
        self.original = segmenter
        self.calls: list[_Call] = []
        self.watched = segmenter.changed(network=_watched(segmenter.network, self.calls))
        self.batch_size = batch_size
        self.turns: list[_Turn] = []

    def run(self, path: Path) -> NDArray[np.uint8 | np.uint16]:
        """The labels of a picture, (H, W); in a larger batch there are as many of it."""
        self.calls.clear()
        start = time.perf_counter()
        if self.batch_size == 1:
            labels = self.watched(path).labels
        else:
            results = self.watched.stream([path] * self.batch_size, batch_size=self.batch_size)
            *_, labels = (result.labels for result in results)
        end = time.perf_counter()
        reading = self.calls[0].begin - start
        network = sum(call.end - call.begin for call in self.calls)
        self.turns.append(
            _Turn(*(part / self.batch_size for part in (reading, network, end - start - reading - network)))
        )
        return labels

    def timing(self, name: str, size: tuple[int, int], agreement: float | None) -> Timing:
        """What the turns took."""
        reading, network, labels = (statistics.median(step) for step in zip(*self.turns, strict=True))
        seconds = tuple(sum(turn) for turn in self.turns)
        seen = self.original.seen_size(size)
        return Timing(name, size, seen, seconds, reading, network, labels, *self._multiply_adds(), agreement)

    def _multiply_adds(self) -> tuple[int | None, int | None]:
        """Of one picture, as the network saw it in the last turn: all, and those that are not on padding."""
        try:
            model = self.original.model
        except CheckpointError:
            return None, None
        works = [_work(model, call.shape) for call in self.calls]
        every, inside = (sum(each.multiply_adds for each in works), sum(each.inside for each in works))
        return every // self.batch_size, inside // self.batch_size


class _Turn(NamedTuple):
    """Seconds of one picture in each of the steps."""

    reading: float
    network: float
    labels: float


class _Call(NamedTuple):
    """When a network ran, and on images of which shape."""

    begin: float
    end: float
    shape: tuple[int, ...]


def _watched(network: Network, calls: list[_Call]) -> Network:
    """A copy of a network that notes its calls."""
    name = "logits_there" if isinstance(network, OfPyTorch) else "coarse_logits"  # what segmenting asks for
    look = getattr(network, name)

    def noted(images: NDArray[np.uint8]) -> Any:
        begin = time.perf_counter()
        logits = look(images)
        logits[0, 0, 0, 0].item()  # a number is there when all is done
        calls.append(_Call(begin, time.perf_counter(), images.shape))
        return logits

    watched = copy(network)
    setattr(watched, name, noted)
    return watched


def _work(model: SegmentationModel, shape: tuple[int, ...]) -> Work:
    """Of a model, for images of `shape`, (N, H, W, C)."""
    import torch

    from deeplab.layers import counted

    batch, height, width, channels = shape
    shadow = deepcopy(model).to("meta")  # where nothing is computed
    with torch.inference_mode(), counted(shadow) as work:
        shadow.merged_scores(shadow.prepare(torch.empty(batch, channels, height, width, device="meta")))
    return work


def float32_peak(device: Any = "cpu") -> float:
    """Multiply-adds a second of float32 that a product of two square matrices reaches, on PyTorch's threads."""
    import torch

    matrix = torch.ones(PEAK_SIDE, PEAK_SIDE, device=device)
    seconds = []
    for _ in range(PEAK_RUNS):
        start = time.perf_counter()
        (matrix @ matrix)[0, 0].item()  # a number is there when all is done
        seconds.append(time.perf_counter() - start)
    return PEAK_SIDE**3 / min(seconds)
