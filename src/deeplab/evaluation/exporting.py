"""From a model to a file for an inference engine, which is written only if it is proven to be that model."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from deeplab import runtimes
from deeplab._progress import Progress, no_progress
from deeplab.checkpoints import Checkpoint
from deeplab.data import group_classes
from deeplab.errors import SettingsError
from deeplab.evaluation.parity import Parity, compare_exported, label_map_agreement
from deeplab.evaluation.picture import pictures
from deeplab.files import written_together
from deeplab.images import resize_image
from deeplab.inference import Segmenter
from deeplab.settings import ExportSettings
from deeplab.weights import reclass

if TYPE_CHECKING:
    from deeplab.runtimes.graph import Graph

__all__ = ["export_checkpoint", "export_unproven"]

CALIBRATION_IMAGES = 32
"""At most so many are looked at for the ranges of 8-bit numbers."""


def export_checkpoint(
    checkpoint: Checkpoint,
    settings: ExportSettings,
    *,
    on_compared: Callable[[Parity, runtimes.Int8 | None], None] | None = None,
    progress: Progress | None = None,
) -> Parity:
    """Write a model to the output that the settings name, and return how it compares.

    Args:
        settings: All but the model.
        on_compared: As in `deeplab.export`, and so `progress`.

    Raises:
        SettingsError: The format does not have an option.
        MissingExtraError: What writes or runs the format is not installed.
        CheckpointError: Too few labels are those of the model; nothing is written.
        OutputError: The file cannot be written.
        DeepLabError: The pictures of `data` or `calibration` cannot be read.
    """
    assert settings.output is not None
    assert settings.format is not None
    assert settings.agreement is not None
    graph = _graph(checkpoint, settings)
    checkpoint = graph.checkpoint
    engine = runtimes.reference(graph, Segmenter(checkpoint, device="cpu").network.coarse_logits)
    segmenter = Segmenter(engine)
    images = pictures(
        settings.data,
        split=settings.split,
        limit=settings.limit,
        format=settings.data_format,
        classes=checkpoint.classes,
        wanted=settings.classes,
    )
    plans: Iterable[runtimes.Int8 | None] = [None]
    if settings.calibration is not None:
        seen = [
            graph.description().padded(resize_image(each.image, segmenter.seen_size(each.image.shape[:2])))
            for each in pictures(
                settings.calibration, split=None, limit=CALIBRATION_IMAGES, format=settings.data_format
            )
        ]
        plans = runtimes.less_and_less_int8(graph, seen)
    with written_together(settings.output) as aside:
        for int8 in plans:
            runtimes.save(aside, graph, format=settings.format, int8=int8)
            exported = Segmenter(runtimes.load(aside, precision=settings.precision))
            with (progress or no_progress)("Comparing", total=len(images)) as advance:
                parity = compare_exported(segmenter, exported, images, bound=settings.agreement, on_image=advance)
            if settings.labels:
                one = min((each.image for each in images), key=np.size)
                seen_image = resize_image(one, segmenter.seen_size(one.shape[:2]))
                share = label_map_agreement(runtimes.load(aside).network, seen_image)
                parity = replace(parity, label_map=share)
            if on_compared:
                on_compared(parity, int8)
            if parity.holds:
                break
        parity.check(str(settings.output))
    return parity


def export_unproven(checkpoint: Checkpoint, settings: ExportSettings) -> None:
    """Write a model for an engine that does not run on this system, compared with nothing.

    Raises:
        SettingsError: The format does not have an option.
        MissingExtraError: What writes the format is not installed.
        OutputError: The file cannot be written.
    """
    assert settings.output is not None
    assert settings.format is not None
    runtimes.save(settings.output, _graph(checkpoint, settings), format=settings.format)


def _graph(checkpoint: Checkpoint, settings: ExportSettings) -> Graph:
    from deeplab.runtimes.graph import Graph

    if settings.classes is not None:
        groups = group_classes(settings.classes, checkpoint.classes)
        if merged := [name for name, olds in groups.items() if len(olds) > 1]:
            raise SettingsError(
                f"classes: {merged[0]} is made of {len(groups[merged[0]])} classes, which a model has to learn; keep "
                "them apart, or drop some, or train it: deeplab train DATA --weights MODEL --classes ..."
            )
        checkpoint = reclass(checkpoint, settings.classes)
    return Graph(checkpoint, fixed_size=settings.fixed_size, labels=settings.labels)
