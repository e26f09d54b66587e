"""`deeplab benchmark [MODEL...]`"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deeplab import api
from deeplab.cli._options import Json
from deeplab.cli._terminal import print_json, print_table, progress
from deeplab.settings import BenchmarkSettings

if TYPE_CHECKING:
    from deeplab.evaluation import Timing

COLUMNS = (
    "Size", "Model", "Network sees", "ms", "Quartiles", "Images/s", "Reading", "Network", "Labels",
    "Multiply-adds", "Of the peak", "Same labels",
)  # fmt: skip


def benchmark(settings: BenchmarkSettings, *, json: Json = False) -> None:
    """Time models on this machine. They take turns, each from a picture's file to its label map."""
    found = api.benchmark(**settings.as_dict(), progress=progress)
    rows = [_row(timing, found.peak) for timing in found.timings]
    print_table(COLUMNS, rows, figures=COLUMNS[2:])
    print("medians; the shares of reading, network and labels; labels as the first model's")
    if found.peak is not None:
        print(f"the peak is a product of float32 matrices: {found.peak / 1e9:.1f} billion multiply-adds a second")
    if settings.growth:
        print(f"the drawing is {settings.growth}")
    if json:
        print_json(
            {
                "peak": found.peak,
                "timings": [_figures(timing, found.peak) for timing in found.timings],
                "growth": [vars(point) for point in found.growth],
            }
        )


def _row(timing: Timing, peak: float | None) -> tuple[str, ...]:
    steps = (timing.reading, timing.network, timing.labels)
    share = timing.share_of_peak(peak)
    return (
        _in_pixels(timing.size),
        timing.model,
        _in_pixels(timing.seen),
        f"{1000 * timing.median:.1f}",
        "..".join(f"{1000 * seconds:.1f}" for seconds in timing.quartiles),
        f"{1 / timing.median:.2f}",
        *(f"{step / sum(steps):.0%}" for step in steps),
        "-" if timing.multiply_adds is None else f"{timing.multiply_adds / 1e9:.2f} B",
        "-" if share is None else f"{share:.0%}",
        "-" if timing.agreement is None else f"{timing.agreement:.3%}",
    )


def _in_pixels(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _figures(timing: Timing, peak: float | None) -> dict[str, Any]:
    return {
        "model": timing.model,
        "size": timing.size,
        "seen": timing.seen,
        "seconds": timing.median,
        "quartiles": timing.quartiles,
        "images_per_second": 1 / timing.median,
        "steps": {"reading": timing.reading, "network": timing.network, "labels": timing.labels},
        "multiply_adds": timing.multiply_adds,
        "multiply_adds_inside": timing.inside,
        "share_of_peak": timing.share_of_peak(peak),
        "agreement": timing.agreement,
    }
