"""The model that a training begins with: built as its start weights were, and with all of them that fits."""

from __future__ import annotations

import inspect
import logging
import math
import operator
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from deeplab import catalog
from deeplab.checkpoints import Checkpoint
from deeplab.data import DataSet
from deeplab.errors import DeepLabError, SettingsError
from deeplab.layers import BatchNorm, ConvNormAct, SeparableConv
from deeplab.models import SegmentationModel, create_model
from deeplab.models.deeplabv3plus import ConcatStep, DeepLabV3Plus
from deeplab.settings import TrainSettings, chosen
from deeplab.training.batches import TrainingCrops, seeded
from deeplab.training.optimizers import freeze
from deeplab.training.task import to_float
from deeplab.weights import start_from, transfer
from deeplab.weights.batchnorm import is_folded, recalibrate_batchnorm
from deeplab.weights.encoders import Encoder

__all__ = ["brings_head", "build_model", "calibrate", "model_for", "pass_encoder_on", "start_model"]

CALIBRATION_CROPS = 32
"""That BatchNorms without statistics see before the training."""

logger = logging.getLogger(__name__)


def start_model(settings: TrainSettings, dataset: DataSet) -> tuple[SegmentationModel, list[BatchNorm]]:
    """The model with its start weights, and those of its BatchNorms that `calibrate` has to see to.

    Raises:
        SettingsError: The weights are of another backbone.
        DeepLabError: As `start_from` and `create_model`.
    """
    torch.manual_seed(seeded(settings.seed).initial_seed())
    start = None if settings.weights == "none" else start_from(settings.weights, backbone=settings.backbone)
    model = build_model(settings, start, num_classes=len(dataset.classes))
    _warn_of_rates(model, settings)
    norms = [] if start is None else _copy(model, start, settings, dataset)
    if settings.freeze != "none":
        frozen, total = freeze(model.backbone, settings.freeze), len(list(model.backbone.parameters()))
        logger.info("frozen up to %s: %d of the %d tensors of the backbone", settings.freeze, frozen, total)
    return model, norms


def build_model(settings: TrainSettings, start: Checkpoint | None, *, num_classes: int) -> SegmentationModel:
    """The model of the settings, not trained; what they leave open of backbone and encoder is as in `start`."""
    options: dict[str, Any] = {} if start is None else _options_of(start, settings)
    options |= settings.model_options or {}
    if settings.atrous_rates is not None:
        options["atrous_rates"] = settings.atrous_rates
    if settings.batch_norm == "group":
        options["norm"] = "group"
    return create_model(
        settings.model,
        backbone=settings.backbone,
        num_classes=num_classes,
        output_stride=chosen(settings.output_stride),
        crf_rnn=chosen(settings.crf_rnn),
        **options,
    )


def _warn_of_rates(model: SegmentationModel, settings: TrainSettings) -> None:
    """Name the atrous rates of the head at which a 3 x 3 sees its middle only, as a crop has no more features."""
    crop_size, stride = chosen(settings.crop_size), chosen(settings.output_stride)
    features = [math.ceil(side / stride) for side in crop_size]
    rates = {
        conv.dilation
        for name, conv in model.named_modules()
        if isinstance(conv, nn.Conv2d) and conv.kernel_size == (3, 3) and not name.startswith("backbone.")
    }
    blind = sorted(rate for rate in rates if rate > (1, 1) and all(map(operator.ge, rate, features)))
    if blind:
        logger.warning(
            "atrous rates %s: a crop of %d x %d pixels has %d x %d features, so that these see nothing but padding "
            "around their middle; take smaller --atrous-rates or a larger --crop-size",
            ", ".join(str(max(rate)) for rate in blind), *crop_size, *features,
        )  # fmt: skip


def model_for(start: Checkpoint) -> str:
    """The variant that begins with the head of the start: its own, or a v3+ whose encoder it becomes.

    A v3 does so as it is: with its own ASPP, and with nothing behind that. Without a head, as of a classifier, v3+.
    """
    if isinstance(start.model, Encoder):
        return "deeplabv3plus"
    entry = start.model.entry
    theirs = {**_builder_options(entry), **start.model.arguments}
    ends_in_aspp = entry == "deeplabv3" and not (theirs["head_conv"] or theirs["cascade_blocks"])
    return "deeplabv3plus" if ends_in_aspp else entry


def brings_head(start: Checkpoint, settings: TrainSettings) -> bool:
    """Whether the model is to have the head of the start: both are of one kind, or the start becomes its encoder."""
    if settings.head == "new" or isinstance(start.model, Encoder):
        return False
    if start.model.entry == settings.model:
        return True
    if model_for(start) != settings.model:
        return False
    asked = {"dense_prediction_cell", *_builder_options("deeplabv3")} - {"dropout"}
    return settings.atrous_rates is None and not asked & (settings.model_options or {}).keys()


def calibrate(model: SegmentationModel, norms: list[BatchNorm], crops: TrainingCrops) -> None:
    """Give these BatchNorms the statistics of crops from all over the data set; what they compute stays.

    Raises:
        DeepLabError: An image cannot be read.
    """
    if norms:
        logger.info("measuring what enters %d BatchNorms on %d crops", len(norms), CALIBRATION_CROPS)
        recalibrate_batchnorm(model, _some(replace(crops, probabilities=None)), norms=norms)


@torch.no_grad()
def pass_encoder_on(model: DeepLabV3Plus) -> bool:
    """Have an untrained decoder pass on what the encoder gives, and hardly hear the low-level features.

    Training then begins with what the encoder and the last layer know. BatchNorms are left as they are: `calibrate`
    gives them the statistics of their input.

    Returns:
        Whether it can: the steps are of the paper's form, as wide as the encoder.
    """
    if not all(isinstance(step, ConcatStep) for step in model.decoder):
        return False
    width = model.aspp.out_channels
    layers = [layer for step in model.decoder for layer in cast(nn.Module, step.decode).children()]
    filters = [_filters(layer) for layer in layers]
    if any(last.shape[0] != width for _, last in filters):
        return False
    for depthwise, last in filters:
        row, column = (length // 2 for length in last.shape[2:])
        if depthwise is not None:
            depthwise.mul_(0.1)[:, :, 1, 1] = 1
        last.normal_(std=0.01)[:, :width] = 0
        nn.init.eye_(last[:, :width, row, column])
    return True


def _filters(layer: nn.Module) -> tuple[Tensor | None, Tensor]:
    """Of one of the decoder's 3 x 3: the depthwise ones where there are, and those that mix channels."""
    if isinstance(layer, SeparableConv):
        depthwise = layer.depthwise.conv if isinstance(layer.depthwise, ConvNormAct) else layer.depthwise
        return depthwise.weight, layer.pointwise.conv.weight
    assert isinstance(layer, ConvNormAct)
    return None, layer.conv.weight


def _some(crops: TrainingCrops) -> Iterator[Tensor]:
    """Float, (1, 3, height, width) each."""
    for place in range(CALIBRATION_CROPS):
        sample = crops[0, place, place * len(crops.photos) // CALIBRATION_CROPS]
        if isinstance(sample, DeepLabError):
            raise sample
        yield to_float(sample[0].image[None])


def _copy(model: SegmentationModel, start: Checkpoint, settings: TrainSettings, dataset: DataSet) -> list[BatchNorm]:
    """Copy what fits, and list the BatchNorms that then do their part but have no statistics of what they get.

    Training normalises by the statistics of a batch: with them it would begin with another function than that of the
    start.
    """
    done = transfer(model, start, classes=dataset.groups, head=settings.head != "new")
    for sentence in done.sentences(dataset.classes):
        logger.info("weights %s: %s", settings.weights, sentence)
    left = {name.rpartition(".")[0] for name in done.left}
    if _passes_on(model, start, left):
        logger.info("the decoder begins as what passes on the features of the encoder")
        left = set()
    if settings.batch_norm not in ("train", "sync"):
        return []
    norms = [(name, module) for name, module in model.named_modules() if isinstance(module, BatchNorm)]
    return [norm for name, norm in norms if is_folded(norm) and not _sees_new(name, left)]


def _passes_on(model: SegmentationModel, start: Checkpoint, left: Collection[str]) -> bool:
    """Have a decoder that is all that is new pass on what a v3 gives."""
    only_decoder = all(name.startswith("decoder.") for name in left)
    batch = model.arguments["norm"] == "batch"  # others do not let everything pass
    if start.model.entry != "deeplabv3" or not only_decoder or not batch:
        return False
    return isinstance(model, DeepLabV3Plus) and pass_encoder_on(model)


def _sees_new(norm: str, left: Collection[str]) -> bool:
    """Whether a norm, or what stands with it in one block, has tensors at random start."""
    block = norm.rpartition(".")[0]
    return any(name == norm or name.startswith(f"{block}.") for name in left)


def _options_of(start: Checkpoint, settings: TrainSettings) -> dict[str, Any]:
    """How the start model's backbone was built, and its head too where the new model has the same."""
    arguments = start.model.arguments
    if arguments["backbone"] != settings.backbone:
        raise SettingsError(
            f"the weights {settings.weights} have the backbone {arguments['backbone']} but --backbone is "
            f"{settings.backbone}; choose --backbone {arguments['backbone']}, or --weights none"
        )
    names = {*inspect.signature(catalog.builder("backbones", settings.backbone)).parameters}
    names |= {"align_corners", "pad_to_grid", "norm"}
    if brings_head(start, settings):
        names |= {*_builder_options(settings.model), "scales", "merge"}
        if start.model.entry != settings.model:
            theirs = {**_builder_options(start.model.entry), **arguments}  # whose defaults may be others
            arguments = {**theirs, "decoder_channels": theirs["aspp_channels"]}  # so that a new decoder can pass it on
    ours = ("backbone", "num_classes", "output_stride", "in_channels")
    return {name: value for name, value in arguments.items() if name in names and name not in ours}


def _builder_options(model: str) -> dict[str, Any]:
    """The options of a model's builder, with their defaults."""
    parameters = inspect.signature(catalog.builder("models", model)).parameters.values()
    return {each.name: each.default for each in parameters if each.default is not each.empty}
