"""Every value of a run and the reason for it: given, or chosen from the data and the machine.

The rules are the tables below, each with its reason, as nnU-Net has them for medical volumes (Isensee et al., Nature
Methods 2021, arXiv 1904.08128, "Rule-based parameters"); docs/training.md lists them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from inspect import signature
from typing import Any

import torch

from deeplab.backbones import create_backbone
from deeplab.catalog import builder
from deeplab.checkpoints import Checkpoint
from deeplab.data import DataSet
from deeplab.data.label_sets import common_name
from deeplab.errors import SettingsError
from deeplab.images import size_at
from deeplab.layers import ATROUS_RATES
from deeplab.settings import LARGEST_SIDE, LEARNING_RATES, WEIGHT_DECAYS, TrainSettings, chosen
from deeplab.training.batches import workers_that_fit
from deeplab.training.cost import Cost, cost_of
from deeplab.training.fingerprint import Fingerprint, Machine
from deeplab.training.recipes import RECIPES
from deeplab.training.samples import epochs_of, validation_samples
from deeplab.training.start import brings_head, build_model, model_for
from deeplab.training.task import least_momentum
from deeplab.weights import cached, known_classes, published, shipped, start_from

__all__ = ["choose"]

STARTS = (
    ("xception65", "tf/xception65_coco_voc_trainaug"),  # 82.20 on VOC val
    ("resnet101", "torchvision/deeplabv3_resnet101"),  # 67.4 on COCO with VOC's classes
    ("resnet50", "torchvision/deeplabv3_resnet50"),  # 66.4
    ("mobilenetv3_large", "torchvision/deeplabv3_mobilenet_v3_large"),  # 60.3
    ("mobilenetv2", "objects"),
    ("mobilenet_edgetpu", "cityscapes"),
)
"""Backbones and the weights that a training of them starts from, the best first; taken where they are here already.

Weights count for more than size where data are few: on VOC pre-training on COCO adds 4 % (v3+, Tables 5 and 7).
"""

KNOWN_SHARE = 0.75
"""Of the classes, from which on those of the weights that ship are taken that know most; else the first that fit.

All 11 of CamVid are known to `cityscapes`. It also knows 3 of the 5 of aerial images, and `objects`, which knows none,
was a better start there (docs/training-figures.md): roads are not alike from a car and from above.
"""

SIZE_SPREAD = 4.0
"""Images whose long sides differ by more are brought to the median, as nnU-Net resamples to the median spacing."""

THICKNESS = 10.0
"""Pixels. What is thinner is enlarged to it: the finest features have stride 4.

By this measure CamVid and dsb2018_nuclei96 have 5 pixels, and both were best at twice their size
(docs/training-figures.md).
"""

LEAST_ENLARGEMENT, GREATEST_ENLARGEMENT = 1.25, 2.0

LARGEST_CROP = {"cpu": 257, "cpu in bf16": 353, "mps": 513, "cuda": 513}
"""Pixels. 513 is the papers' (v3, section 4.1); on a CPU a quarter of it leaves time for four times the steps, and half
of it for twice of them, each of which takes as long in bf16 as one of a quarter in float32."""

OUTPUT_STRIDES = ((128, 16), (64, 8), (0, 4))
"""Least short side of the crop, in pixels, for an output stride: at least 8 features along it, as far as it goes."""

CROP_OVER_FIRST_RATE = 33 / 6
"""Features across the crop over the first of the three rates of ASPP, as with the papers' crop of 513; the third then
reaches half way across. At a rate as large as the features a 3 x 3 sees its middle only (v3, section 3.3): its outer
weights learn nothing, and disturb where whole images are larger than the crops."""

SCALE, SCALE_OF_ONE_INSTRUMENT = (0.5, 2.0), (0.7, 1.4)
"""The papers' (v3, section 4.1); nnU-Net's, for grey images of one size, whose magnification is fixed."""

SCALE_OF_PARTS, PART = (0.4, 1.3), 0.5
"""Where crops are less than this part of the short side of the images. CamVid after one epoch with crops of 257 of 720
pixels: val 0.715, and 0.674 with the papers' (docs/training-figures.md)."""

BATCH = {"cpu": 8, "mps": 8, "cuda": 16}
"""Images in a step; 16 is the papers' (v3, section 4.1)."""

MEMORY_SHARE = {"cpu": 0.5, "mps": 0.5, "cuda": 0.8}
"""Of the memory that is reckoned with."""

BATCH_NORM_BATCH = 8
"""Images on a device from which batch statistics are good; below, group norm does better (Wu and He 2018, arXiv
1803.08494, Table 2), and statistics of the start are better kept (research/deeplab/train.py, fine_tune_batch_norm)."""

RARE = 0.002
"""Share of the labelled pixels: a class below it is missed by most crops, so that some are aimed at the rare ones. The
loss weighs no class more, however rare: that won no IoU, and cost accuracy (docs/training-figures.md)."""

RARE_CROPS = 1 / 3
"""nnU-Net's share of patches that hold foreground for certain."""

HEAD_MULTIPLIER, KNOWING_HEAD_MULTIPLIER = 10.0, 3.0
"""Of a new head (v2, section 4.1), and of one that comes with the weights, which has something to lose."""

USUAL_PASSES = 50
"""Over the images; the papers' 30 000 steps of 16 are 45 over the 10 582 of VOC train_aug."""

LEAST_STEPS = {"cpu": 600, "mps": 600, "cuda": 2000}
MOST_STEPS = 30_000
"""The papers' on VOC."""

MOST_EPOCHS = 50
"""Each ends with a validation; of few images an epoch takes several passes."""

HOURS = {"cpu": 1.0}
"""That a run may take where it chooses its length, by the speed below; where a GPU computes, it is not reckoned."""

SPEED = {"32": 13e9, "bf16": 25e9}
"""Multiply-adds a second of one core in training, by precision: of an EPYC with AVX2, DeepLab v3+ on MobileNetV2 and
crops of 193; of one with AVX512-BF16, MobileNet-EdgeTPU and crops of 353."""

VALIDATION_SHARE = 0.2
"""Of those hours."""

Reasons = dict[str, str]


def choose(
    settings: TrainSettings,
    dataset: DataSet,
    data: Fingerprint,
    machine: Machine,
    *,
    before: Mapping[str, Any] | None = None,
) -> tuple[TrainSettings, Reasons]:
    """The settings with nothing left open, and the reason for each value that was.

    Args:
        before: The values of the run to be resumed, in the place of what the settings leave open; what it did without
            is not chosen now. None: it begins.

    Raises:
        SettingsError: Values that cannot work with each other or with the data.
    """
    before = before or {}
    settings = replace(settings, **{name: value for name, value in before.items() if _is_open(settings, name)})
    choices = _Choices(settings, kind=machine.device.partition(":")[0], settled=before)
    _choose_validation(choices, dataset)
    _choose_arithmetic(choices, machine)
    _choose_start(choices, dataset)
    _drop_options(choices, num_classes=len(dataset.classes))
    _choose_sizes(choices, data)
    _choose_loss(choices, dataset)
    _choose_balance(choices, data)
    to_reckon = choices.is_open("batch_size") or choices.is_open("epochs", "steps")
    cost = _cost(choices.settings, choices.start, num_classes=len(dataset.classes)) if to_reckon else None
    _choose_step(choices, cost, machine, num_classes=len(dataset.classes))
    _choose_length(choices, cost, data, machine, shown=len(validation_samples(choices.settings, dataset)))
    _choose_norm(choices, data)
    _choose_rates(choices, data)
    _check(choices.settings, dataset, images=data.images)
    return choices.settings, choices.why


def _choose_validation(choices: _Choices, dataset: DataSet) -> None:
    if choices.settings.val_split != "none" and not dataset.splits.get(choices.settings.val_split):
        if choices.settings.val_split != "val":
            dataset.split(choices.settings.val_split)  # raises: it was asked for
        choices.take("val_split", "none", "the data has no split 'val'; the last model counts as the best")


class _Choices:
    """Settings that are closed one by one."""

    def __init__(self, settings: TrainSettings, *, kind: str, settled: Collection[str]) -> None:
        self.settings = settings
        self.settled = settled
        self.kind = kind
        """Of device: "cpu", "mps" or "cuda"."""
        self.why: Reasons = {}
        self.start: Checkpoint | None = None
        """The weights."""

    def is_open(self, *names: str) -> bool:
        """Whether all of them are."""
        return all(_is_open(self.settings, name) and name not in self.settled for name in names)

    @property
    def head_stays(self) -> bool:
        """Whether the model has the head of the start weights."""
        return self.start is not None and brings_head(self.start, self.settings)

    def take(self, name: str, value: Any, reason: str) -> None:
        self.settings, self.why[name] = replace(self.settings, **{name: value}), reason


def _is_open(settings: TrainSettings, name: str) -> bool:
    return getattr(settings, name, "gone since") in (None, "auto")


def _choose_arithmetic(choices: _Choices, machine: Machine) -> None:
    device = machine.device
    if choices.is_open("device"):
        choices.take("device", device, "the fastest here")
    if choices.is_open("precision"):
        words = "computes" if machine.bf16 else "does not compute"
        choices.take("precision", "bf16" if machine.bf16 else "32", f"{device} {words} bf16 fast")
    if choices.settings.workers < 0:
        workers = workers_that_fit(device, devices=choices.settings.devices)
        choices.take("workers", workers, f"fits the cores for training on {device}")


def _choose_start(choices: _Choices, dataset: DataSet) -> None:
    """Backbone and start weights, each by the other where one is given."""
    weights_are_given = not choices.is_open("weights")
    if choices.is_open("backbone", "weights"):
        _choose_both(choices, dataset)
    elif choices.is_open("backbone"):
        if choices.settings.weights == "none":
            choices.take("backbone", "mobilenetv2", "small and quick to learn from nothing")
        else:
            choices.start = start_from(choices.settings.weights, backbone="")
            backbone = choices.start.model.arguments["backbone"]
            choices.take("backbone", backbone, f"that of {choices.settings.weights}")
    if choices.is_open("weights"):
        backbone = choices.settings.backbone
        found = [weights for name, weights in STARTS if name == backbone and _is_here(weights)]
        if found:
            ships = found[0] in shipped()
            choices.take("weights", found[0], "ships with this backbone" if ships else "was downloaded before")
        else:
            choices.take("weights", "none", f"none of the backbone {backbone} are here")
    if choices.settings.weights != "none":
        choices.start = choices.start or start_from(choices.settings.weights, backbone=choices.settings.backbone)
    if choices.is_open("head"):
        if choices.start is None:
            choices.take("head", "new", "there are no weights")
        elif weights_are_given:
            choices.take("head", "start", "the weights were given")
        else:
            known = len(_known(choices.start, dataset))
            choices.take("head", "start" if known else "new", f"the weights know {known or 'none'} of the classes")
    if choices.is_open("model"):
        own = model_for(choices.start) if choices.start is not None and weights_are_given else "deeplabv3plus"
        if own == "deeplabv3plus" or choices.settings.head == "new":
            choices.take("model", "deeplabv3plus", "the latest variant")
        else:
            choices.take("model", own, f"that of {choices.settings.weights}, as no other begins with its head")
    if choices.is_open("crf_rnn"):
        if choices.start is not None and choices.head_stays:
            choices.take("crf_rnn", choices.start.model.crf_rnn is not None, f"as in {choices.settings.weights}")
        else:
            choices.take("crf_rnn", False, "it refines what a head knows, and the head is new")


def _choose_both(choices: _Choices, dataset: DataSet) -> None:
    here = [(backbone, weights) for backbone, weights in STARTS if _is_here(weights)]
    ours = [(backbone, weights) for backbone, weights in here if weights in shipped()]
    if choices.kind == "cuda" and here[0] not in ours:
        choices.take("backbone", here[0][0], "the best whose weights are here")
        return
    known = {weights: len(_known(start_from(weights, backbone=backbone), dataset)) for backbone, weights in ours}
    backbone, weights = max(ours, key=lambda each: known[each[1]])
    if known[weights] < KNOWN_SHARE * sum(map(_is_foreground, dataset.classes)):
        backbone, weights = ours[0]
    why = "no larger one has its weights here" if choices.kind == "cuda" else f"small enough for {choices.kind}"
    choices.take("backbone", backbone, f"{why}, and its weights ship")
    choices.take("weights", weights, f"ships with this backbone; it knows {known[weights] or 'none'} of the classes")


def _known(start: Checkpoint, dataset: DataSet) -> list[str]:
    """The classes that `start` knows, but for the background, which is another one in each data set."""
    return [name for name in known_classes(dataset.groups, start.classes) if _is_foreground(name)]


def _is_foreground(name: str) -> bool:
    return common_name(name) != "background"


def _is_here(weights: str) -> bool:
    """Whether these weights need no download."""
    return weights in shipped() or (weights in published() and cached(published()[weights]).is_file())


def _drop_options(choices: _Choices, *, num_classes: int) -> None:
    """Leave out what a published recipe says of its own network, where the one that was given cannot take it.

    Where an option that was given itself cannot work, nothing is left out: the error is told where the model is made.
    """

    def can_be_built(options: Mapping[str, Any]) -> bool:
        try:
            with torch.device("meta"):  # takes no memory for the weights
                settings = replace(choices.settings, model_options=options)
                build_model(settings, choices.start, num_classes=num_classes)
        except SettingsError:
            return False
        return True

    settings, name = choices.settings, choices.settings.recipe
    asked = settings.model_options or {}
    if name is None or can_be_built(asked):
        return
    theirs = RECIPES[name].options
    has_rates = "atrous_rates" in signature(builder("models", settings.model)).parameters
    if settings.atrous_rates == theirs.get("atrous_rates") and not has_rates:
        choices.take("atrous_rates", None, f"{settings.model} has none, unlike {name}")
    own = theirs.get("model_options", {})
    kept = {option: value for option, value in asked.items() if option not in own or own[option] != value}
    if not can_be_built(kept):
        return
    for option in [option for option in asked if option not in kept]:
        if can_be_built({**kept, option: asked[option]}):
            kept[option] = asked[option]
    dropped = [option for option in asked if option not in kept]
    if dropped:
        network = f"{settings.model} on {settings.backbone}"
        choices.take("model_options", kept, f"as {name} without {', '.join(dropped)}, which {network} cannot take")


def _choose_sizes(choices: _Choices, data: Fingerprint) -> None:
    """Of the images, the crop, the features, and how far the scale varies."""
    largest, long_side = LARGEST_SIDE[choices.kind], data.long_side
    if choices.is_open("long_side"):
        enlarged = min(GREATEST_ENLARGEMENT, THICKNESS / data.finest) if data.finest else 1.0
        if long_side > largest:
            choices.take("long_side", largest, f"images are larger than {largest} pixels")
        elif data.size_spread > SIZE_SPREAD:
            choices.take("long_side", long_side, f"the median; sizes differ by a factor of {data.size_spread:.0f}")
        elif choices.is_open("crop_size") and enlarged >= LEAST_ENLARGEMENT:
            side = min(round(enlarged * long_side), largest)
            choices.take("long_side", side, f"a quarter of the classes are at most {data.finest:.0f} pixels thick")
    short_side = min(size_at(choices.settings.long_side, data.median_size))
    if choices.is_open("crop_size"):
        in_bf16 = f"{choices.kind} in bf16"
        where = in_bf16 if choices.settings.precision == "bf16" and in_bf16 in LARGEST_CROP else choices.kind
        side = min(short_side, LARGEST_CROP[where])
        reason = f"short side of the images ({short_side}), at most {LARGEST_CROP[where]} on {where}"
        choices.take("crop_size", (side, side), reason)
    if choices.is_open("output_stride"):
        side = min(chosen(choices.settings.crop_size))
        wanted = next(stride for least, stride in OUTPUT_STRIDES if side >= least)
        stride = _finest_stride(choices.settings.backbone, wanted)
        start = choices.start if choices.head_stays else None
        own = start.model.arguments["output_stride"] if start is not None else stride
        if own < stride:
            choices.take("output_stride", own, "that of the weights, whose head is made for it")
        else:
            rest = "" if stride == wanted else f"; {choices.settings.backbone} takes no finer one"
            choices.take("output_stride", stride, f"for crops of {side} pixels{rest}")
    if choices.is_open("atrous_rates") and choices.settings.model in ("deeplabv3", "deeplabv3plus"):
        stride = chosen(choices.settings.output_stride)
        features = math.ceil(min(chosen(choices.settings.crop_size)) / stride)
        first = max(1, round(features / CROP_OVER_FIRST_RATE))
        if first < ATROUS_RATES[stride][0] and not choices.head_stays:
            rates = (first, 2 * first, 3 * first)
            choices.take("atrous_rates", rates, f"reach half way across the {features} features of a crop")
    if choices.is_open("scale"):
        if data.grey and data.smallest_size == data.largest_size:
            scale, reason = SCALE_OF_ONE_INSTRUMENT, "grey images of one size are of one magnification"
        elif max(chosen(choices.settings.crop_size)) < PART * short_side:
            scale, reason = SCALE_OF_PARTS, "crops are less than half of an image, and have to see more of it"
        else:
            scale, reason = SCALE, "usual for photos"
        choices.take("scale", scale, reason)


def _finest_stride(backbone: str, wanted: int) -> int:
    """The output stride that is wanted, or the finest coarser one that the backbone takes: few of timm's take 4."""
    for stride in (stride for stride in sorted(ATROUS_RATES) if stride >= wanted):
        try:
            with torch.device("meta"):  # takes no memory for the weights
                create_backbone(backbone, output_stride=stride)
        except SettingsError:
            continue
        return stride
    return wanted  # the error is told where the model is made


def _choose_loss(choices: _Choices, dataset: DataSet) -> None:
    if choices.is_open("loss"):
        if choices.start is not None and choices.head_stays and _known(choices.start, dataset):
            choices.take("loss", "cross_entropy+lovasz", "the head knows classes, and IoU is what is measured")
        else:
            choices.take("loss", "cross_entropy", "the head knows no class yet")


def _choose_balance(choices: _Choices, data: Fingerprint) -> None:
    """What is done for rare classes."""
    name, share = min(data.present.items(), key=lambda item: item[1], default=("", 1.0))
    if choices.is_open("class_weights"):
        choices.take("class_weights", "none", "weights find more of the rare classes, and take for them what is none")
    if choices.is_open("rare_crops"):
        rarest = f"the rarest class, {name}, has {share:.2%} of the labelled pixels"
        choices.take("rare_crops", RARE_CROPS if share < RARE else 0.0, rarest)


def _choose_step(choices: _Choices, cost: Cost | None, machine: Machine, *, num_classes: int) -> None:
    """The images of a step, and how many of them at a time."""
    processes, wanted = choices.settings.processes, BATCH[choices.kind]
    if cost is not None and choices.is_open("batch_size"):
        share = max(1, wanted // (processes * (choices.settings.accumulate or 1)))
        fits = _images_that_fit(choices, cost, machine, num_classes=num_classes)
        batch = share
        while batch > max(1, fits):
            batch //= 2
        reason = f"{wanted} in a step on {choices.kind}" if batch == share else "what fits in memory"
        choices.take("batch_size", batch, reason)
        if choices.is_open("accumulate"):
            parts = -(-wanted // (batch * processes))
            choices.take("accumulate", parts, f"makes a step of {parts * batch * processes} images")
    if choices.is_open("accumulate"):
        choices.take("accumulate", 1, "the batch was given")


def _images_that_fit(choices: _Choices, cost: Cost, machine: Machine, *, num_classes: int) -> int:
    """Crops at a time: what the way back keeps, the loss of full size, and five times the weights."""
    sharers = choices.settings.devices if choices.kind == "cpu" else 1
    memory = MEMORY_SHARE[choices.kind] * machine.memory_gb * 1e9 / sharers - 5 * cost.weights
    kept = cost.memory * (0.5 if choices.settings.precision == "bf16" else 1.0) + 3 * 4 * num_classes
    return int(memory / (kept * _pixels(chosen(choices.settings.crop_size))))


def _choose_length(choices: _Choices, cost: Cost | None, data: Fingerprint, machine: Machine, *, shown: int) -> None:
    """The epochs of the run and the passes of an epoch; `shown` images are in a validation."""
    settings = choices.settings
    if settings.epochs is not None:
        if choices.is_open("passes"):
            choices.take("passes", 1, "epochs were given")
        return
    images = chosen(settings.batch_size) * chosen(settings.accumulate) * settings.processes  # in a step
    steps, most_epochs, reason = settings.steps, MOST_EPOCHS, ""
    if steps is None:
        assert cost is not None
        steps, reason = _steps(choices.kind, a_pass=data.images / images)
        if choices.kind in HOURS:
            seconds = 3600 * HOURS[choices.kind]
            pixels_a_second = {  # forward
                precision: speed * machine.threads / cost.multiply_adds for precision, speed in SPEED.items()
            }
            a_step = 3 * images * _pixels(chosen(settings.crop_size)) / pixels_a_second[settings.precision]
            affordable = int((1 - VALIDATION_SHARE) * seconds / a_step)
            if affordable < steps:
                steps = max(affordable, LEAST_STEPS[choices.kind])
                reason = f"about {seconds / 3600:g} h on {machine.threads} of the cores"
            an_image = _pixels(size_at(settings.long_side, data.median_size)) / pixels_a_second["32"]
            validations = VALIDATION_SHARE * seconds / an_image
            most_epochs = min(MOST_EPOCHS, max(1, int(validations / max(1, shown))))
    if choices.is_open("passes"):
        passes = max(1, round(steps * images / (most_epochs * data.images)))
        choices.take("passes", passes, f"at most {most_epochs} epochs, each with a validation")
    if settings.steps is None:
        epochs = max(1, round(steps / epochs_of(choices.settings, images=data.images).steps))
        choices.take("epochs", epochs, reason)


def _steps(kind: str, *, a_pass: float) -> tuple[int, str]:
    """The steps of a run, where one pass over the images is `a_pass` of them, and why so many."""
    usual, least = round(USUAL_PASSES * a_pass), LEAST_STEPS[kind]
    if usual < least:
        return least, f"at least {least} steps on {kind}"
    if usual > MOST_STEPS:
        return MOST_STEPS, f"at most {MOST_STEPS} steps"
    return usual, f"{USUAL_PASSES} passes over the images"


def _pixels(size: tuple[int, int]) -> int:
    return size[0] * size[1]


def _cost(settings: TrainSettings, start: Checkpoint | None, *, num_classes: int) -> Cost:
    return cost_of(build_model(settings, start, num_classes=num_classes).eval())


def _choose_norm(choices: _Choices, data: Fingerprint) -> None:
    name, momentum = choices.settings.recipe, choices.settings.batch_norm_momentum
    if name is not None and momentum is not None and momentum == RECIPES[name].options.get("batch_norm_momentum"):
        steps = _length_in_steps(choices.settings, images=data.images)
        if momentum < least_momentum(steps):
            choices.take("batch_norm_momentum", None, f"{momentum:g} as {name} is too slow for {steps} steps")
    if not choices.is_open("batch_norm"):
        return
    settings, batch = choices.settings, chosen(choices.settings.batch_size)
    if settings.processes > 1 and choices.kind == "cuda":
        choices.take("batch_norm", "sync", f"statistics of {batch * settings.processes} images on all devices")
    elif batch >= BATCH_NORM_BATCH:
        choices.take("batch_norm", "train", f"{batch} images at a time are enough for statistics")
    elif settings.weights != "none":
        choices.take("batch_norm", "freeze", f"{batch} images at a time are too few; the start has statistics")
    else:
        choices.take("batch_norm", "group", f"{batch} images at a time are too few, and there is no start to keep")


def _choose_rates(choices: _Choices, data: Fingerprint) -> None:
    """The learning rate, its way up, the weight decay."""
    optimizer = choices.settings.optimizer
    if choices.is_open("learning_rate"):
        choices.take("learning_rate", LEARNING_RATES[optimizer], f"usual for {optimizer}")
    if choices.is_open("head_multiplier"):
        multiplier = KNOWING_HEAD_MULTIPLIER if choices.head_stays else HEAD_MULTIPLIER
        choices.take("head_multiplier", multiplier, "it comes with the weights" if choices.head_stays else "it is new")
    if choices.is_open("weight_decay"):
        choices.take("weight_decay", WEIGHT_DECAYS[optimizer], f"usual for {optimizer}")
    if choices.is_open("warmup_epochs", "warmup_steps"):
        epochs = _length_in_epochs(choices.settings, images=data.images)
        choices.take("warmup_epochs", min(1.0, epochs / 10), "one epoch, at most a tenth of the run")


def _length_in_epochs(settings: TrainSettings, *, images: int) -> float:
    if settings.steps is None:
        return chosen(settings.epochs)
    return settings.steps / epochs_of(settings, images=images).steps


def _length_in_steps(settings: TrainSettings, *, images: int) -> int:
    return settings.steps or epochs_of(settings, images=images).steps * chosen(settings.epochs)


def _check(settings: TrainSettings, dataset: DataSet, *, images: int) -> None:
    epochs = _length_in_epochs(settings, images=images)
    steps = _length_in_steps(settings, images=images)
    for name, length, unit in (("warmup_epochs", epochs, "epochs"), ("warmup_steps", steps, "steps")):
        warmup = getattr(settings, name)
        if warmup is not None and warmup > length:
            raise SettingsError(
                f"{name} {warmup:g} is longer than the training of {length:g} {unit}; shorten it or train longer"
            )
    if settings.val_split != "none" and settings.validate_every > math.ceil(epochs):
        raise SettingsError(
            f"validate_every {settings.validate_every} is longer than the training "
            f"of {math.ceil(epochs)} epochs; lower it, or use --val-split none"
        )
    if settings.end_learning_rate > chosen(settings.learning_rate):
        raise SettingsError(
            f"end_learning_rate {settings.end_learning_rate:g} is above the learning rate of "
            f"{settings.learning_rate:g}, which falls to it; lower it"
        )
    if len(dataset.classes) < 2:
        raise SettingsError(
            f"one class, '{dataset.classes[0]}', of {dataset.root}; training needs at least two, such as background"
        )
    if settings.head == "start" and settings.weights == "none":
        raise SettingsError("head start wants weights that bring it, as weights is none; leave --head out")
    if settings.freeze != "none" and settings.weights == "none":
        raise SettingsError(
            f"freeze {settings.freeze} would keep random weights, as weights is none; "
            "choose --weights, or --freeze none"
        )
    if settings.batch_norm == "freeze" and settings.weights == "none":
        raise SettingsError(
            "batch_norm freeze would keep statistics that random weights do not have, as weights is none; "
            "choose --weights, or --batch-norm auto"
        )
    if settings.precision == "bf16" and settings.device == "mps":
        raise SettingsError("precision bf16 is not for mps; use --precision 32")
    if settings.processes > 1 and settings.batch_norm == "sync" and not settings.device.startswith("cuda"):
        raise SettingsError(
            f"batch_norm sync is for GPUs, as in PyTorch, but device is {settings.device}; "
            "use --batch-norm freeze, group or train"
        )
    there = torch.cuda.device_count() if settings.device == "cuda" else 1
    if settings.devices > there and settings.device != "cpu":  # a CPU has as many processes as one likes
        raise SettingsError(
            f"devices is {settings.devices} but {settings.device} has {there} here; use --devices {there}"
        )
