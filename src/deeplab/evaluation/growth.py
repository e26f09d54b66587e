"""How the time and the memory of a model grow with the picture, the batch and the classes, as numbers and as a drawing.

Every picture is shown to the network at its own size, as far as that takes any. Memory is the most that a process has
held, which never falls: each model has a new process for each of the three, and there goes from the smallest to the
largest.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from deeplab._optional import require
from deeplab.errors import DeepLabError, SettingsError
from deeplab.evaluation.timing import Stopwatch
from deeplab.files import written_aside
from deeplab.images import color_map, mirrored, write_image
from deeplab.inference import Segmenter

__all__ = ["Growth", "draw_growth", "growth_points", "measure_growth"]

Axis = Literal["pixels", "batch", "classes"]

VALUES: Mapping[Axis, Sequence[int]] = {
    "pixels": [side**2 for side in (181, 256, 362, 512, 724, 1024, 1448)],  # each has twice those of the one before
    "batch": (1, 2, 4, 8),
    "classes": (2, 21, 150, 1000),
}

SIDE = 512
"""Of the picture, in pixels, where it is not the picture that grows."""

ROUNDS = 3

LABELS: Mapping[Axis, str] = {
    "pixels": "side of the square picture, in pixels; grey: as their number grows",
    "batch": f"pictures of {SIDE} x {SIDE} in a batch",
    "classes": f"classes, at {SIDE} x {SIDE}",
}


@dataclass(frozen=True)
class Growth:
    """A model at one point of one of the axes."""

    model: str
    axis: Axis
    value: int
    """Pixels of the square picture, pictures in the batch, or classes."""
    seconds: float
    """Median of one picture, from its file to its label map."""
    memory: int
    """Bytes that the process has held at most."""


def measure_growth(
    models: Mapping[str, Callable[[], Segmenter]],
    picture: NDArray[np.uint8],
    *,
    exported: Collection[str] = (),
    values: Mapping[Axis, Sequence[int]] = VALUES,
    on_point: Callable[[], None] = lambda: None,
) -> list[Growth]:
    """Measure models, by name, along each of the axes; an exported one has its classes, and is not there on theirs.

    Args:
        models: What opens each, in another process.
        picture: As in `time_models`.
        exported: Those of them that an engine other than torch runs.
        values: Where on each axis, ascending.
        on_point: Called after each.

    Raises:
        DeepLabError: A model cannot be opened or run.
        SettingsError: This system does not tell what memory a process has held, or has ended one.
    """
    if find_spec("resource") is None:
        raise SettingsError("growth is not to be had on this system, which does not tell how much memory was held")
    context = get_context("spawn")
    found = []
    for name, axis in lines(models, exported, values):
        open_segmenter, places = models[name], values[axis]
        here, there = context.Pipe(duplex=False)
        process = context.Process(target=grow, args=(there, open_segmenter, picture, axis, places), daemon=True)
        process.start()
        there.close()
        for value in places:
            try:
                answer = here.recv()
            except EOFError as error:
                process.join()
                raise SettingsError(
                    f"growth: {name} has ended at {value} {axis} with status {process.exitcode}, where -9 is for want "
                    "of memory; leave it out of the models"
                ) from error
            if isinstance(answer, DeepLabError):
                raise answer
            found.append(Growth(name, axis, value, *answer))
            on_point()
        process.join()
    return found


def lines(models: Iterable[str], exported: Collection[str], values: Iterable[Axis] = VALUES) -> list[tuple[str, Axis]]:
    """Which models are measured along which axes."""
    return [(name, axis) for name in models for axis in values if axis != "classes" or name not in exported]


def growth_points(models: Iterable[str], exported: Collection[str] = ()) -> int:
    """How many there are."""
    return sum(len(VALUES[axis]) for _, axis in lines(models, exported))


def grow(
    connection: Connection,
    open_segmenter: Callable[[], Segmenter],
    picture: NDArray[np.uint8],
    axis: Axis,
    values: Iterable[int],
) -> None:
    """Send seconds and bytes for each of the values, or what went wrong."""
    try:
        segmenter = open_segmenter()
        if not segmenter.network.fixed_size:
            segmenter.long_side = None
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "picture.jpg"
            for value in values:
                side = round(value**0.5) if axis == "pixels" else SIDE
                write_image(file, mirrored(picture, (side, side)))
                grown = with_classes(segmenter, value) if axis == "classes" else segmenter
                watch = Stopwatch(grown, batch_size=value if axis == "batch" else 1)
                for _ in range(1 + ROUNDS):
                    watch.run(file)
                seconds = statistics.median(sum(turn) for turn in watch.turns[1:])
                connection.send((seconds, peak_memory()))
    except DeepLabError as error:
        connection.send(error)


def with_classes(segmenter: Segmenter, num_classes: int) -> Segmenter:
    """The same with so many classes, of which the last layer is random."""
    import torch

    from deeplab.checkpoints import Checkpoint
    from deeplab.models import create_model
    from deeplab.weights import transfer

    torch.manual_seed(0)
    own, names = segmenter.model, tuple(map(str, range(num_classes)))
    model = create_model(own.entry, **{**own.arguments, "num_classes": num_classes})
    transfer(model, Checkpoint(own, segmenter.classes, segmenter.palette), classes=dict.fromkeys(names, ()))
    network = segmenter.torch_network.of(model)
    return segmenter.changed(network=network, classes=names, palette=color_map(num_classes))


def peak_memory() -> int:
    """Bytes that this process has held at most; on Linux, what `resource` tells begins with those of its parent."""
    import resource

    status = Path("/proc/self/status")
    told = status.read_text(encoding="utf-8").splitlines() if status.is_file() else []
    for line in told:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 2**10)


def draw_growth(path: Path, points: Sequence[Growth]) -> None:
    """Draw time and memory along each axis, and a line along which the time would grow as the pixels do.

    Raises:
        MissingExtraError: matplotlib is not installed.
        OutputError: The file cannot be written.
    """
    axes = [axis for axis in get_args(Axis) if any(point.axis == axis for point in points)]
    figure = require("matplotlib.figure", extra="train").Figure(figsize=(4 * len(axes), 6), layout="constrained")
    fields = figure.subplots(2, len(axes), squeeze=False)
    for axis, (above, below) in zip(axes, fields.T, strict=True):
        for model in dict.fromkeys(point.model for point in points if point.axis == axis):
            line = [point for point in points if (point.model, point.axis) == (model, axis)]
            values = [point.value for point in line]
            above.semilogx(values, [point.seconds for point in line], "o-", label=model)
            below.semilogx(values, [point.memory / 2**20 for point in line], "o-", label=model)
        above.set(ylabel="seconds for a picture")
        below.set(ylabel="MiB held at most", xlabel=LABELS[axis], ylim=(0, None))
        if axis == "pixels":
            above.loglog(values, [line[-1].seconds * each / values[-1] for each in values], color="grey", linewidth=0.8)
            above.yaxis.set_major_formatter("{x:g}")
        else:
            above.set_ylim(0, None)
        marks = [f"{value**0.5:.0f}" if axis == "pixels" else str(value) for value in values]
        for field in (above, below):
            field.set_xticks(values, marks)
            field.set_xticks([], minor=True)
    fields[0, 0].legend()
    with written_aside(path) as aside:
        figure.savefig(aside, dpi=100, format="png")
