"""Models timed in turns, beside what the machine could do, and if wanted how they grow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeplab._progress import Progress, no_progress
from deeplab.evaluation.growth import Growth, draw_growth, growth_points, measure_growth
from deeplab.evaluation.timing import Timing, float32_peak, time_models
from deeplab.inference import Segmenter

__all__ = ["Benchmark", "benchmark"]


@dataclass(frozen=True)
class Benchmark:
    """What `deeplab.benchmark` measured."""

    timings: tuple[Timing, ...]
    peak: float | None
    """Multiply-adds a second of float32 that a product of matrices reaches here; None: no model is PyTorch's."""
    growth: tuple[Growth, ...] = ()


def benchmark(
    models: Mapping[str, Callable[..., Segmenter]],
    picture: NDArray[np.uint8],
    *,
    sizes: Sequence[tuple[int, int]],
    rounds: int,
    batch_size: int = 1,
    drawing: Path | None = None,
    progress: Progress = no_progress,
) -> Benchmark:
    """Time models, by name.

    Args:
        models: What opens each, here, where it shows its `progress`, or in another process.
        picture, sizes, rounds, batch_size: As in `time_models`.
        drawing: The file in which their growth is drawn; None: it is not measured.

    Raises:
        MissingExtraError: The drawing needs matplotlib.
        SettingsError, OutputError: As `measure_growth` and `draw_growth`.
        DeepLabError: A model cannot be opened or run.
    """
    segmenters = {name: opened(progress=progress) for name, opened in models.items()}
    with progress("Timing", total=len(models) * len(sizes) * (1 + rounds)) as advance:
        timings = time_models(segmenters, picture, sizes=sizes, rounds=rounds, batch_size=batch_size, on_turn=advance)
    exported = {timing.model for timing in timings if timing.multiply_adds is None}
    counted = [name for name in models if name not in exported]
    peak = float32_peak(segmenters[counted[0]].device) if counted else None
    if drawing is None:
        return Benchmark(tuple(timings), peak)
    with progress("Growing", total=growth_points(models, exported)) as advance:
        growth = measure_growth(models, picture, exported=exported, on_point=advance)
    draw_growth(drawing, growth)
    return Benchmark(tuple(timings), peak, tuple(growth))
