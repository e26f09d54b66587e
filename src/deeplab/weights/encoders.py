"""Backbones that were trained to classify the images of ImageNet, from torchvision, timm and the official code: a start
for training.

Their classifier is left behind, and what stays is no segmentation model: a training takes such a file as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deeplab.backbones import create_backbone
from deeplab.backbones.mobilenetv2 import STAGES
from deeplab.checkpoints import Checkpoint
from deeplab.errors import CheckpointError
from deeplab.layers import Prepare
from deeplab.models import SegmentationModel
from deeplab.weights import tensorflow
from deeplab.weights._ports import (
    IMAGENET,
    PARTS,
    RESNET,
    mobilenetv2_multiplier,
    mobilenetv2_rules,
    mobilenetv3_name,
    mobilenetv3_rules,
    resnet_name,
)
from deeplab.weights._source import COUNTER, Rules, Tensors, combined, fill, places
from deeplab.weights._state import read_state

__all__ = ["Encoder", "backbone_in", "encoder"]


class Encoder(SegmentationModel):
    """A backbone with its normalisation and without a head; there is nothing in it but what `transfer` copies."""

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__()
        image = {key: options.pop(key) for key in IMAGENET if key in options}
        self.backbone = create_backbone(name, **options)
        mean = list(image.get("image_mean", self.backbone.image_mean))
        std = list(image.get("image_std", self.backbone.image_std))
        self.prepare = Prepare(mean, std, stride=1)
        self.align_corners = True
        self.entry = "encoder"
        self.arguments = {"backbone": name, **options, "image_mean": mean, "image_std": std}


@dataclass(frozen=True, kw_only=True)
class Family:
    """Classifiers of a kind under the names of a system."""

    known_by: str
    """A regular expression for the name of a tensor that all of them have, and nothing else."""
    rules: Callable[[Tensors], Rules]
    left_behind: str
    """A regular expression for the names of the classifier."""
    network: Callable[[Tensors], dict[str, Any]]
    """What `Encoder` builds these tensors' backbone from: its "name" and options. The tensors have our names."""


def encoder(path: str | Path, *, backbone: str | None = None) -> Checkpoint:
    """The backbone in the file of a classifier of images, without classes.

    Args:
        backbone: Which one to look for. The names of timm/NAME are as many as there are encoders, so that the file
            cannot tell it; None: another one, whichever it is.

    Raises:
        InputNotFoundError: There is no such file.
        CheckpointError: It cannot be read, or there is none of these backbones in it.
    """
    path = Path(path)
    read = tensorflow.read if path.suffix == ".index" else read_state
    found = {name: tensor for name, tensor in read(path).items() if not name.endswith(COUNTER)}
    if backbone is not None and backbone.startswith("timm/"):
        model, tensors = _of_timm(backbone, found, what=str(path))
    else:
        model, tensors = _of_family(found, what=str(path))
    fill(model, tensors, what=str(path))
    none = np.zeros((0, 3), np.uint8)
    return Checkpoint(model.eval(), (), none, training={"converted_from": Path(path).name})


def backbone_in(path: str | Path) -> str | None:
    """The name of the backbone whose classifier of images this file holds; None where it is something else."""
    try:
        return str(encoder(path).model.arguments["backbone"])
    except CheckpointError:
        return None


def _of_family(found: Tensors, *, what: str) -> tuple[Encoder, Tensors]:
    known = ((family, re.compile(family.known_by)) for family in FAMILIES)
    family = next((family for family, pattern in known if any(map(pattern.fullmatch, found))), None)
    if family is None:
        raise CheckpointError(f"{what}: no backbone of an image classifier that we know; --backbone timm/NAME has more")
    names = [name for name in found if not re.match(family.left_behind, name)]
    placed = places(names, family.rules(found), what=what)
    tensors = {ours: found[theirs] for theirs, ours in placed.items()}
    return Encoder(**family.network(tensors)), tensors


def _of_timm(backbone: str, found: Tensors, *, what: str) -> tuple[Encoder, Tensors]:
    """timm joins some names by "_" where its classifiers have a "."."""
    model = Encoder(backbone)
    theirs = {name.replace("_", "."): tensor for name, tensor in found.items()}
    wanted = [name for name in model.state_dict() if name.startswith("backbone.") and not name.endswith(COUNTER)]
    names = {name: name.removeprefix("backbone.encoder.").replace("_", ".") for name in wanted}
    missing = [name for name, key in names.items() if key not in theirs]
    if missing:
        raise CheckpointError(f"{what}: {len(missing)} tensors of {backbone} are missing, {missing[0]} for one")
    return model, {name: theirs[key] for name, key in names.items()}


def _timm_mobilenetv2() -> Iterator[tuple[str, str]]:
    """A stage's first block of one without expansion has its pointwise layer under another name."""
    yield r"conv_stem\.", "backbone.stem.conv."
    yield r"bn1\.", "backbone.stem.norm."
    unit = 0
    for stage, (expansion, _, count, _) in enumerate(STAGES):
        layers = [("conv_pw", "expand"), ("conv_dw", "depthwise"), ("conv_pwl", "project")]
        layers = layers if expansion > 1 else [("conv_dw", "depthwise"), ("conv_pw", "project")]
        for block in range(count):
            for index, (theirs, ours) in enumerate(layers):
                yield rf"blocks\.{stage}\.{block}\.{theirs}\.", f"backbone.blocks.{unit}.{ours}.conv."
                yield rf"blocks\.{stage}\.{block}\.bn{index + 1}\.", f"backbone.blocks.{unit}.{ours}.norm."
            unit += 1


def _mobilenetv2(tensors: Tensors) -> dict[str, Any]:
    multiplier = mobilenetv2_multiplier(tensors)
    return {"name": "mobilenetv2", "depth_multiplier": multiplier, "norm_eps": 1e-5, **IMAGENET}


VGG16 = {
    place: f"backbone.conv{stage + 1}.{2 * index}."
    for stage, row in enumerate(((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28)))
    for index, place in enumerate(row)
}
"""Activations are layers in both, poolings in torchvision's only. Those are over 2 x 2 there and over 3 x 3 here, which
is how DeepLab v1 was trained from such weights as well (arXiv 1412.7062, section 3.1)."""

CONVS = r"backbone.blocks.\1.convs."

XCEPTION = (
    *combined(
        [(r"stem\.(\d)\.", r"backbone.stem.\1."), (r"blocks\.(\d+)\.shortcut\.", r"backbone.blocks.\1.shortcut.")],
        [(rf"{theirs}\.", f"{ours}.") for theirs, ours in PARTS],
    ),
    *(
        (rf"blocks\.(\d+)\.stack\.conv{index + 1}\.{theirs}_{kind}\.", rf"{CONVS}{index}.{layer}.{ours}.")
        for index in (0, 1, 2)
        for kind, layer in (("dw", "depthwise"), ("pw", "pointwise"))
        for theirs, ours in PARTS
    ),
)

XCEPTIONS = {13: "xception41", 21: "xception65", 23: "xception71"}
"""By their units."""


def _xception(tensors: Tensors) -> dict[str, Any]:
    return {"name": XCEPTIONS[len({name.split(".")[2] for name in tensors if name.startswith("backbone.blocks.")})]}


def _official(tensors: Tensors) -> dict[str, Any]:
    found = tensorflow.backbone(tensors)
    return {"name": found.pop("backbone"), **found}


FAMILIES = (
    Family(
        known_by=r"layer1\.0\.conv1\.weight",
        rules=lambda _: RESNET,
        left_behind=r"fc\.",
        network=lambda tensors: {"name": resnet_name(tensors)},
    ),
    Family(
        known_by=r"features\.1\.conv\.0\.0\.weight",
        rules=lambda _: mobilenetv2_rules(r"features\."),
        left_behind=r"classifier\.|features\.18\.",
        network=_mobilenetv2,
    ),
    Family(
        known_by=r"features\.1\.block\.0\.0\.weight",
        rules=lambda found: mobilenetv3_rules(found, "features"),
        left_behind=r"classifier\.",
        network=lambda tensors: {"name": mobilenetv3_name(tensors), "gate_slope": 1 / 6, **IMAGENET},
    ),
    Family(
        known_by=r"features\.28\.weight",
        rules=lambda _: [(rf"features\.{place}\.", ours) for place, ours in VGG16.items()],
        left_behind=r"classifier\.|pre_logits\.|head\.",
        network=lambda _: {"name": "vgg16", **IMAGENET},
    ),
    Family(
        known_by=r"blocks\.0\.0\.conv_dw\.weight",
        rules=lambda _: _timm_mobilenetv2(),
        left_behind=r"conv_head\.|bn2\.|classifier\.",
        network=_mobilenetv2,
    ),
    Family(
        known_by=r"blocks\.0\.stack\.conv1\.conv_dw\.weight",
        rules=lambda _: XCEPTION,
        left_behind=r"head\.",
        network=_xception,
    ),
    Family(
        known_by=r"(xception_\d+/entry_flow|resnet_v1_\d+)/conv1(_1)?/weights|MobilenetV2/Conv/weights",
        rules=tensorflow.rules,
        left_behind=rf"(.*/)?([Ll]ogits/|MobilenetV2/Conv_1/)|{'|'.join(tensorflow.LEFT_BEHIND)}",
        network=_official,
    ),
)
