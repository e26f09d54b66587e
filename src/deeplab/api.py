"""The Python calls, each a few lines over one room; options are checked before torch loads."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeplab import catalog
from deeplab._machine import may_have_gpu
from deeplab._optional import require
from deeplab._progress import Progress, no_progress
from deeplab.errors import CheckpointError, OutputError, SettingsError
from deeplab.files import check_writable
from deeplab.settings import (
    BenchmarkSettings,
    CompareSettings,
    ConvertSettings,
    DataSettings,
    DoctorSettings,
    EvaluateSettings,
    ExplainSettings,
    ExportSettings,
    LoadSettings,
    ModelSettings,
    TrainSettings,
    TuneCRFSettings,
    UseSettings,
    build,
    takes,
)
from deeplab.training.config import with_config
from deeplab.training.processes import is_first

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from deeplab.data import DataSet, Sample
    from deeplab.data.doctor import Diagnosis
    from deeplab.evaluation import Benchmark, Comparison, CRFReport, Parity, Report
    from deeplab.inference import Explanation, Segmenter
    from deeplab.models import SegmentationModel
    from deeplab.results import Segmentation
    from deeplab.runtimes import Exported, Int8
    from deeplab.weights import Agreement, Conversion

__all__ = [
    "benchmark",
    "compare",
    "convert",
    "create_model",
    "doctor",
    "evaluate",
    "explain",
    "export",
    "list_backbones",
    "list_models",
    "list_weights",
    "load",
    "segment",
    "train",
    "train_as",
    "tune_crf",
]

logger = logging.getLogger(__name__)


@takes(LoadSettings)
def load(model: str | Path = "objects", *, progress: Progress | None = None, **options: Any) -> Segmenter:
    """A segmenter: call it with an image, or `.stream` many.

    Args:
        model: A name (see `list_weights`) or the path of a model file, or of one that `export` wrote, which needs its
            engine but no torch. What others published is downloaded and converted when it is first asked for, and
            needs no network from then on.
        progress: As in `evaluate`, while the model is made ready for an engine.
        options: The fields of `deeplab.settings.LoadSettings`: scales, flip, tile_size, long_side, device, engine,
            precision, crf (the name of a preset, a .json file of `tune_crf`, or True).

    Raises:
        SettingsError: An option that does not exist or cannot work.
        UnknownNameError: No such name.
        InputNotFoundError: No such file.
        DownloadError: It has to be downloaded, and that fails.
        CheckpointError: The file cannot be read, or another engine does not give its labels.
        MissingExtraError: The engine is not installed.
        OutputError: The model cannot be kept for the engine; where that is "auto", it is torch then, with a warning.
    """
    settings = build(LoadSettings, {"model": model, **options})
    from deeplab import runtimes
    from deeplab.inference import Segmenter

    how = settings.part(LoadSettings)
    path, engine = how.pop("model"), how.pop("engine")
    if runtimes.is_exported(path):
        return Segmenter(runtimes.load(path, device=settings.device, precision=how.pop("precision")), **how)
    from deeplab import weights

    found = weights.find(path)
    exported = _exported(found, engine, device=settings.device, precision=settings.precision, progress=progress)
    if exported is not None:
        del how["precision"]
        return Segmenter(exported, **how)
    from deeplab import checkpoints

    return Segmenter(checkpoints.load(found), **how, compiled=engine == "compiled")


def _exported(model: Path, engine: str, *, device: str, precision: str, progress: Progress | None) -> Exported | None:
    """A model in an engine, for which it is made ready if it was not; None where the engine is torch."""
    if engine in ("torch", "compiled") or (engine == "auto" and _may_be_on_gpu(device)):
        return None
    from deeplab import runtimes

    ready = runtimes.Ready(model)
    for _ in range(2):
        if not ready.knows(engine):
            from deeplab import evaluation

            try:
                evaluation.make_ready(model, engine, progress=progress)
            except OutputError as error:
                if engine != "auto":
                    raise
                logger.warning("engine auto is torch this time: %s", error)
                return None
        file = ready.find(engine)
        if file is None:
            return None
        try:
            return runtimes.load(file, device=device, precision=precision)
        except CheckpointError:  # damaged in the cache
            ready.forget()
    raise CheckpointError(f"{model}: what was made for {engine} in {ready.folder} cannot be opened; is the disk full?")


def _may_be_on_gpu(device: str) -> bool:
    return may_have_gpu() if device == "auto" else device != "cpu"


@takes(LoadSettings)
def segment(
    image: str | Path | Image.Image | NDArray[np.uint8], *, model: str | Path = "objects", **options: Any
) -> Segmentation:
    """The segmentation of one image; for more than one `load` once, then call it or its `.stream`.

    Args:
        image: A file, a PIL image, or an array (H, W, 3) of uint8 RGB; OpenCV gives BGR: `image[..., ::-1]`.
        model: As in `load`, and so are the `options`.

    Raises:
        ImageError: The image cannot be read.
        DeepLabError: As `load`.
    """
    return load(model, **options)(image)


@takes(TrainSettings)
def train(data: str | Path | None = None, **options: Any) -> Path:
    """Train a model and return the path of its best checkpoint, which `load` takes.

    Args:
        data: Folder of the data set; may stand in the file `config` instead.
        options: The fields of `deeplab.settings.TrainSettings`: epochs, batch_size, crop_size ... What is not
            given is chosen from the data and the machine, and written to `config.yaml` in the run's folder.

    Raises:
        SettingsError: An option that does not exist or cannot work, or `output` lies inside `data`.
        DataError: The data set is not in order.
        MissingExtraError: The extra `deeplab[train]` is not installed.
        OutputError: The folder of the run is not empty, or cannot be written.
    """
    given = options if data is None else {"data": data, **options}
    return train_as(build(TrainSettings, with_config(given)))


def train_as(settings: TrainSettings) -> Path:
    """`train` with settings in which those of `config`, of the run to be resumed and of `recipe` are already."""
    for package, name in (("models", settings.model), ("backbones", settings.backbone)):
        if name != "auto":
            catalog.module_of(package, name)
    if not settings.resume:  # a run that began there may go on
        _check_outside(settings.output, settings.data)
    if is_first():
        check_writable(settings.output, folder=True)
    from deeplab import training

    return training.train(settings)


@takes(EvaluateSettings)
def evaluate(
    model: str | Path,
    data: str | Path,
    *,
    on_image: Callable[[Sample, NDArray[Any]], None] | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Report:
    """Measure a model on a data set, each image at its own size.

    Args:
        model: A name or the path of a model file, as in `load`.
        data: Folder of the data set.
        on_image: Called after each image with its sample and the predicted labels, (H, W).
        progress: Shows how far it is: `with progress(title, total=images) as advance`; None: nothing does.
        options: The fields of `deeplab.settings.EvaluateSettings`: format, classes, split, limit, boundaries,
            calibration, output, report, and those of `load`.

    Raises:
        SettingsError: An option that does not exist or cannot work, or `output` lies inside `data`.
        DataError: The data set is not in order, or its classes are not those of the model.
        DeepLabError: As `load`.
    """
    settings = build(EvaluateSettings, {"model": model, "data": data, **options})
    _check_order((settings.model,), settings.data)
    _check_outside(settings.output, settings.data)
    check_writable(settings.output, folder=True)
    check_writable(settings.report)
    from deeplab import evaluation
    from deeplab.files import distinct_stems, written_aside
    from deeplab.images import write_labels

    def write(sample: Sample, labels: NDArray[Any]) -> None:
        if settings.output:
            write_labels(settings.output / f"{next(stems)}.png", labels, palette=dataset.palette)
        if on_image:
            on_image(sample, labels)
        advance()

    dataset = _open(settings)
    stems = iter(distinct_stems(sample.image for sample in dataset.split(settings.split)))
    segmenter = load(**settings.part(LoadSettings), progress=progress)
    samples = dataset.split(settings.split)[: settings.limit]
    with (progress or no_progress)("Evaluating", total=len(samples)) as advance:
        report = evaluation.evaluate(
            segmenter,
            dataset,
            split=settings.split,
            limit=settings.limit,
            boundaries=settings.boundaries or settings.report is not None,
            calibration=settings.calibration or settings.report is not None,
            on_image=write,
        )
    if settings.output:
        for name, text in (("report.json", report.to_json() + "\n"), ("images.csv", report.to_csv())):
            with written_aside(settings.output / name) as aside:
                aside.write_text(text, encoding="utf-8")
    if settings.report:
        evaluation.write_page(
            settings.report,
            report,
            title=f"{settings.model} on {settings.data.resolve().name}, {settings.split}",
            segmenter=segmenter,
            dataset=dataset,
            samples=samples,
        )
    return report


@takes(CompareSettings)
def compare(
    model: str | Path,
    other: str | Path,
    data: str | Path,
    *,
    progress: Progress | None = None,
    **options: Any,
) -> Comparison:
    """Measure two models on the same images, and how far the difference can be believed.

    Args:
        model: A name or the path of a model file, as in `load`.
        other: The one that is compared with it: a difference is its figure less that of `model`.
        data: Folder of the data set.
        progress: As in `evaluate`.
        options: The fields of `deeplab.settings.CompareSettings`: format, classes, split, limit, report, and those of
            `load`.

    Raises:
        SettingsError: An option that does not exist or cannot work, or the models have other classes.
        DataError: The data set is not in order, or its classes are not those of the models.
        DeepLabError: As `load`.
    """
    settings = build(CompareSettings, {"model": model, "other": other, "data": data, **options})
    _check_order((settings.model, settings.other), settings.data)
    check_writable(settings.report)
    from deeplab import evaluation

    dataset = _open(settings)
    how = {**settings.part(LoadSettings), "progress": progress}
    segmenters = load(**how), load(**{**how, "model": settings.other})
    if settings.model != settings.other:
        first_classes, second_classes = (each.classes for each in segmenters)
        evaluation.check_same_classes({settings.model: first_classes, settings.other: second_classes})
    evaluation.check_classes(segmenters[0].classes, dataset)
    samples = dataset.split(settings.split)[: settings.limit]
    with (progress or no_progress)("Comparing", total=2 * len(samples)) as advance:
        first, second = (
            evaluation.evaluate(
                each, dataset, split=settings.split, limit=settings.limit, on_image=lambda *_: advance()
            )
            for each in segmenters
        )
    comparison = evaluation.Comparison(first, second)
    if settings.report:
        evaluation.write_comparison(
            settings.report,
            comparison,
            names=(settings.model, settings.other),
            segmenters=segmenters,
            dataset=dataset,
            samples=samples,
        )
    return comparison


@takes(ExplainSettings)
def explain(model: str | Path, image: str | Path, **options: Any) -> Explanation:
    """Show what in an image speaks for each class, and how sure the model is; writes a page and its pictures.

    Args:
        model: A name or the path of a model file, as in `load`.
        image: An image file.
        options: The fields of `deeplab.settings.ExplainSettings`: show, pixel, samples, output, and those of `load`.

    Raises:
        SettingsError: An option that does not exist or cannot work.
        ImageError: The image cannot be read.
        UnknownNameError: A class that the model does not know.
        OutputError: Something cannot be written.
        DeepLabError: As `load`.
    """
    settings = build(ExplainSettings, {"model": model, "image": image, **options})
    check_writable(settings.output, folder=True)
    from deeplab import inference
    from deeplab.images import IMAGE_SUFFIXES, read_image

    if Path(settings.model).suffix.lower() in IMAGE_SUFFIXES and settings.image.suffix.lower() not in IMAGE_SUFFIXES:
        raise SettingsError(f"{settings.model} is an image, no model; the model comes first, then the image")
    photo = read_image(settings.image)
    explanation = inference.explain(
        load(**settings.part(LoadSettings)),
        photo,
        classes=settings.show,
        pixel=settings.pixel,
        samples=settings.samples,
    )
    inference.write_explanation(settings.output, settings.image.stem, explanation, pixel=settings.pixel)
    return explanation


@takes(TuneCRFSettings)
def tune_crf(model: str | Path, data: str | Path, *, progress: Progress | None = None, **options: Any) -> CRFReport:
    """Search the CRF that suits a model and a data set, write it to a file that `load(crf=...)` takes, and measure it.

    Half of the images are chosen on, the others tell whether the CRF helps. A call that was interrupted goes on where
    it stopped, from what is kept in the folder beside the file.

    Args:
        model: A name or the path of a model file, as in `load`.
        data: Folder of the data set.
        progress: Shows each round: `with progress(title, total=steps) as advance`; None: nothing does.
        options: The fields of `deeplab.settings.TuneCRFSettings`: format, classes, split, limit, weight, sigma_xy,
            sigma_rgb, smoothness, rounds, output, and those of `load` but crf.

    Raises:
        SettingsError: An option that does not exist or cannot work, or `output` lies inside `data`.
        DataError: The data set is not in order, its classes are not those of the model, or it has too few images.
        OutputError: The file cannot be written.
        DeepLabError: As `load`.
    """
    settings = build(TuneCRFSettings, {"model": model, "data": data, **options})
    _check_order((settings.model,), settings.data)
    _check_outside(settings.output, settings.data)
    check_writable(settings.output)
    from deeplab import evaluation
    from deeplab.crf import save_crf

    dataset = _open(settings)
    report = evaluation.tune_crf(
        load(**settings.part(ModelSettings), progress=progress),
        dataset,
        folder=settings.trials,
        split=settings.split,
        limit=settings.limit,
        weight=settings.weight,
        sigma_xy=settings.sigma_xy,
        sigma_rgb=settings.sigma_rgb,
        smoothness=settings.smoothness,
        rounds=settings.rounds,
        progress=progress or no_progress,
    )
    save_crf(settings.output, report.crf, about=report.as_dict())
    return report


@takes(DoctorSettings)
def doctor(data: str | Path, *, progress: Progress | None = None, **options: Any) -> Diagnosis:
    """Examine a data set before anybody trains on it.

    Args:
        data: Folder of the data set.
        progress: As in `evaluate`.
        options: The fields of `deeplab.settings.DoctorSettings`: format, classes, output_stride, long_side, report,
            fix.

    Returns:
        The findings, errors first. With `fix`, `repair` is what was done about them.

    Raises:
        SettingsError: An option that does not exist or cannot work.
        DataError: The data set cannot be listed, or what is left of it after a repair is no data set.
        OutputError: The report or the copy cannot be written.
    """
    settings = build(DoctorSettings, {"data": data, **options})
    from deeplab.data import regroup, survey
    from deeplab.data.doctor import check_place, examine, repair, write_page

    check_writable(settings.report)
    if settings.fix:
        check_place(settings.fix, settings.data)
    dataset, strays = survey(settings.data, format=settings.format)
    if settings.classes is not None:
        dataset = regroup(dataset, settings.classes)
    progress = progress or no_progress
    diagnosis = examine(
        dataset,
        strays=strays,
        output_stride=settings.output_stride,
        long_side=settings.long_side,
        progress=progress,
    )
    if settings.report:
        write_page(settings.report, diagnosis)
    return repair(diagnosis, settings.fix, progress=progress) if settings.fix else diagnosis


@takes(ConvertSettings)
def convert(
    checkpoint: str | Path,
    *,
    on_converted: Callable[[Conversion, Agreement | None], None] | None = None,
    **options: Any,
) -> Path:
    """Turn another system's checkpoint into ours, and return the path of the file.

    Where the other system is installed, or its outputs are given, ours are compared with them; nothing is written if
    they differ.

    Args:
        checkpoint: File of the other system.
        on_converted: Called before the file is written, with where each tensor went and what the comparison gave.
        options: The fields of `deeplab.settings.ConvertSettings`: source, output, output_stride, classes, golden,
            half.

    Raises:
        SettingsError: An option that does not exist or cannot work, or not as many `classes` as the file has.
        InputNotFoundError: There is no such file.
        UnknownNameError: No such source.
        CheckpointError: The file cannot be read, a tensor of it has no place in our model, or the outputs differ.
        DataError: The golden outputs cannot be used.
        OutputError: The result cannot be written.
    """
    settings = build(ConvertSettings, {"checkpoint": checkpoint, **options})
    output = settings.output
    check_writable(output)
    from deeplab import checkpoints, weights

    conversion = weights.convert(
        settings.checkpoint, source=settings.source, output_stride=settings.output_stride, classes=settings.classes
    )
    if output.exists() and settings.checkpoint.exists() and output.samefile(settings.checkpoint):
        raise OutputError(f"{output} is the checkpoint itself; choose another --output")
    comparison = weights.compare(conversion, golden=settings.golden)
    if on_converted:
        on_converted(conversion, comparison)
    if comparison:
        comparison.check(str(settings.checkpoint))
    checkpoints.save(output, conversion.checkpoint, half=settings.half)
    return output


@takes(ExportSettings)
def export(
    model: str | Path,
    output: str | Path | None = None,
    *,
    on_compared: Callable[[Parity, Int8 | None], None] | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Path:
    """Write a model in the format of an inference engine, compare it with the model, and return the path of the file.

    Args:
        model: A name or the path of a model file, as in `load`.
        output: The file, whose ending tells the format; None: the model's name.
        on_compared: Called with the comparison, before the file is put in its place; with `int8` also what of it is in
            8 bits, each time before more layers are kept in float32.
        progress: As in `evaluate`.
        options: The fields of `deeplab.settings.ExportSettings`: format, fixed_size, labels, int8, calibration,
            precision, classes, data, data_format, split, limit, agreement, unproven.

    Raises:
        SettingsError: An option that does not exist or cannot work, or that the format does not have; or the format
            does not run on this system.
        MissingExtraError: What writes or runs the format is not installed.
        CheckpointError: Too few labels are those of the model; nothing is written.
        OutputError: The file cannot be written.
        DeepLabError: As `load`.
    """
    settings = build(ExportSettings, {"model": model, "output": output, **options})
    assert settings.output is not None
    check_writable(settings.output)
    from deeplab import checkpoints, evaluation, weights

    checkpoint = checkpoints.load(weights.find(settings.model))
    if settings.unproven:
        evaluation.export_unproven(checkpoint, settings)
    else:
        evaluation.export_checkpoint(checkpoint, settings, on_compared=on_compared, progress=progress)
    return settings.output


@takes(BenchmarkSettings)
def benchmark(
    models: str | Path | Sequence[str | Path] | None = None,
    *,
    progress: Progress | None = None,
    **options: Any,
) -> Benchmark:
    """Time models on this machine, in turns: from a picture's file to its label map.

    Args:
        models: Names, model files, or exported ones; None: the models that ship.
        progress: As in `evaluate`.
        options: The fields of `deeplab.settings.BenchmarkSettings`: sizes, image, rounds, batch_size, growth, and
            those of `load` but crf.

    Raises:
        SettingsError: An option that does not exist or cannot work.
        ImageError, InputNotFoundError: The picture cannot be read.
        MissingExtraError: `growth` needs matplotlib.
        DeepLabError: As `load`.
    """
    settings = build(BenchmarkSettings, {"models": models, **options})
    from deeplab import evaluation, weights
    from deeplab.images import read_image

    if settings.growth is not None:
        require("matplotlib", extra="train")
        check_writable(settings.growth)
    names = settings.models or tuple(weights.shipped())
    how = settings.part(UseSettings)
    picture = evaluation.example_picture() if settings.image is None else read_image(settings.image)
    return evaluation.benchmark(
        {name: partial(load, name, **how) for name in names},
        picture,
        sizes=settings.pixels,
        rounds=settings.rounds,
        batch_size=settings.batch_size,
        drawing=settings.growth,
        progress=progress or no_progress,
    )


def create_model(
    name: str,
    *,
    backbone: str = "mobilenetv2",
    num_classes: int = 21,
    output_stride: int = 16,
    in_channels: int = 3,
    **options: Any,
) -> SegmentationModel:
    """A model with random weights: (N, in_channels, H, W) RGB in 0 .. 1 -> logits (N, num_classes, H, W).

    Args:
        name: One of `list_models()`.
        backbone: One of `list_backbones()`, or `timm/NAME` for an encoder of timm.
        output_stride: Image side over the side of the deepest features: 4, 8, 16 or 32.
        options: What the model's and the backbone's builders offer beside: atrous_rates, depth_multiplier ...

    Raises:
        UnknownNameError: No such model or backbone.
        SettingsError: A value that cannot work.
    """
    from deeplab import models

    return models.create_model(
        name,
        backbone=backbone,
        num_classes=num_classes,
        output_stride=output_stride,
        in_channels=in_channels,
        **options,
    )


def list_models() -> list[str]:
    """The names of the model variants, sorted."""
    return list(catalog.entries("models"))


def list_backbones() -> list[str]:
    """The names of the backbones, sorted; beside them there are those of timm, as `timm/NAME`."""
    return list(catalog.entries("backbones"))


def list_weights() -> list[str]:
    """The names of trained models that `load` takes: those that ship, then those that others published."""
    from deeplab import weights

    return [*weights.shipped(), *weights.published()]


def _open(settings: DataSettings) -> DataSet:
    """The data set with the classes that it is to have. Raises DataError."""
    from deeplab.data import open_dataset, regroup

    dataset = open_dataset(settings.data, format=settings.format)
    return dataset if settings.classes is None else regroup(dataset, settings.classes)


def _check_order(models: Sequence[str], data: Path) -> None:
    """Raise SettingsError where a folder stands in the place of a model, and none in that of the data set."""
    for model in models:
        if Path(model).is_dir() and not data.is_dir():
            raise SettingsError(f"{model} is a folder and {data} is none; the model comes first, the data set last")


def _check_outside(output: Path | None, data: Path) -> None:
    """Nothing is written into a data set, or SettingsError."""
    if output and output.resolve().is_relative_to(data.resolve()):
        raise SettingsError(f"output {output} lies inside the data set; choose another place")
