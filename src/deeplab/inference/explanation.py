"""Why a model says what it says of an image, and how sure it is: maps to look at.

- Seg-Grad-CAM (Vinogradova, Dibrov and Myers, AAAI 2020, arXiv:2002.11434): what of the image speaks for a class.
- The effective receptive field of a pixel (Luo, Li, Urtasun and Zemel, NIPS 2016, arXiv:1701.04128): where its class
  is read off.
- Entropy and margin of the probabilities; how many of the changed views of the image disagree; and, where asked for,
  how many of the networks that dropout makes do (Gal and Ghahramani, ICML 2016, arXiv:1506.02142).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deeplab.errors import SettingsError, unknown_name
from deeplab.images import resize_image
from deeplab.inference.predictor import Segmenter
from deeplab.layers import resize
from deeplab.results import Segmentation

__all__ = ["Explanation", "explain"]

VIEWS = (0.75, 1.25)
"""Scales of the image, beside its mirror image, at which the model is asked again."""

Map = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Explanation:
    """What is known of a segmentation; every map is float32 (H, W) in 0 .. 1."""

    segmentation: Segmentation
    entropy: Map
    """Of the probabilities, over that of all classes alike: 0 is sure, 1 has no idea."""
    margin: Map
    """By how much the most probable class leads the next one."""
    disagreement: Map
    """Share of the changed views (mirrored, smaller, larger) that give the pixel another class."""
    activations: Mapping[str, Map] = field(default_factory=dict)
    """By class, what speaks for it (Seg-Grad-CAM), the strongest 1."""
    receptive_field: Map | None = None
    """How much each pixel moves the score of the pixel asked for, the most 1."""
    dropout: Map | None = None
    """Share of the networks with random dropout that give the pixel another class."""


def explain(
    segmenter: Segmenter,
    image: NDArray[np.uint8],
    *,
    classes: Sequence[str] | None = None,
    pixel: tuple[int, int] | None = None,
    samples: int = 0,
    seed: int = 0,
) -> Explanation:
    """Explain what `segmenter` makes of an image.

    Args:
        image: uint8 (H, W, 3) RGB.
        classes: To show what speaks for; None: those that were found.
        pixel: (row, column) whose receptive field is shown; None: none.
        samples: Networks with random dropout that are asked; 0: none.
        seed: Of the dropout.

    Raises:
        UnknownNameError: A class that the model does not know.
        SettingsError: A pixel outside the image, or samples of a model without dropout.
        DeepLabError: As the segmenter.
    """
    _ = segmenter.model  # raises where there is none, as do the checks below, before the work is done
    for name in classes or ():
        if name not in segmenter.classes:
            raise unknown_name("class", name, segmenter.classes)
    height, width = image.shape[:2]
    if pixel is not None and not (0 <= pixel[0] < height and 0 <= pixel[1] < width):
        raise SettingsError(f"pixel {pixel[0]},{pixel[1]} lies outside an image of {height} x {width}; count from 0")
    if samples and not _dropout_layers(segmenter.model):
        raise SettingsError("samples ask networks with random dropout, and this model has none; leave it out")
    result = segmenter(image)
    probabilities = result.probabilities
    return Explanation(
        segmentation=result,
        entropy=_entropy(probabilities),
        margin=_margin(probabilities),
        disagreement=_disagreement(segmenter, image, result.labels),
        activations=_activations(segmenter, image, result.labels, list(result.areas()) if classes is None else classes),
        receptive_field=None if pixel is None else _receptive_field(segmenter, image, pixel),
        dropout=_dropout(segmenter, image, samples, seed) if samples else None,
    )


def _entropy(probabilities: NDArray[np.float32]) -> Map:
    floor = np.float32(1e-12)
    entropy = -(probabilities * np.log(np.maximum(probabilities, floor))).sum(axis=0)
    found: Map = np.clip(entropy / math.log(max(2, len(probabilities))), 0, 1).astype(np.float32)
    return found


def _margin(probabilities: NDArray[np.float32]) -> Map:
    if len(probabilities) == 1:
        return np.ones(probabilities.shape[1:], np.float32)
    second, first = np.partition(probabilities, -2, axis=0)[-2:]
    found: Map = first - second
    return found


def _disagreement(segmenter: Segmenter, image: NDArray[np.uint8], labels: NDArray[Any]) -> Map:
    mirrored = segmenter.changed(scales=(1.0,), flip=False)(np.ascontiguousarray(image[:, ::-1]))
    views = [mirrored.labels[:, ::-1]]
    views += [segmenter.changed(scales=(scale,), flip=False)(image).labels for scale in VIEWS]
    found: Map = np.mean([view != labels for view in views], axis=0, dtype=np.float32)
    return found


def _dropout_layers(model: nn.Module) -> list[nn.modules.dropout._DropoutNd]:
    layers = [module for module in model.modules() if isinstance(module, nn.modules.dropout._DropoutNd)]
    return [layer for layer in layers if layer.p > 0]


def _dropout(segmenter: Segmenter, image: NDArray[np.uint8], samples: int, seed: int) -> Map:
    layers = _dropout_layers(segmenter.model)
    random = segmenter.changed(network=segmenter.torch_network.unfolded())
    labels = random(image).labels  # so that rounding, which folding changes too, does not count
    count = np.zeros(labels.shape, np.int64)
    with torch.random.fork_rng(devices=[segmenter.device] if segmenter.device.type == "cuda" else []):
        torch.manual_seed(seed)
        try:
            for layer in layers:
                layer.train()
            for _ in range(samples):
                count += random(image).labels != labels
        finally:
            segmenter.model.eval()
    return (count / samples).astype(np.float32)


def _activations(
    segmenter: Segmenter, image: NDArray[np.uint8], labels: NDArray[Any], classes: Sequence[str]
) -> dict[str, Map]:
    """The deepest features of the backbone, each by how much it speaks for the class where that was found.

    A class that was found nowhere is asked for everywhere.
    """
    kept: list[Tensor] = []
    hook = segmenter.model.backbone.register_forward_hook(lambda module, _, features: kept.append(features.res5))
    try:
        with torch.enable_grad():
            batch = _as_seen(segmenter, image).requires_grad_()
            logits = segmenter.model(batch)[0]  # (num_classes, h, w)
    finally:
        hook.remove()
    rows, columns = (
        np.arange(there) * wanted // there for there, wanted in zip(logits.shape[1:], labels.shape, strict=True)
    )
    seen = torch.from_numpy(labels[np.ix_(rows, columns)].astype(np.int64)).to(logits.device)
    found = {}
    for name in classes:
        index = segmenter.classes.index(name)
        where = seen == index if (seen == index).any() else torch.ones_like(seen, dtype=torch.bool)
        gradients = torch.autograd.grad(logits[index][where].sum(), kept, retain_graph=True)
        heat = torch.zeros(1, 1, *logits.shape[1:], device=logits.device)
        for features, gradient in zip(kept, gradients, strict=True):  # several where the model sees several scales
            speaks = (gradient.mean(dim=(2, 3), keepdim=True) * features).sum(dim=1, keepdim=True).relu()
            heat += segmenter.model.full_size(speaks.detach(), (logits.shape[1], logits.shape[2]))
        found[name] = _as_map(heat, labels.shape)
    return found


def _receptive_field(segmenter: Segmenter, image: NDArray[np.uint8], pixel: tuple[int, int]) -> Map:
    """The size of the gradient of the winning score at a pixel by each pixel of the image."""
    size = image.shape[:2]
    with torch.enable_grad():
        batch = _as_seen(segmenter, image).requires_grad_()
        logits = segmenter.model(batch)[0]
        row, column = (
            place * there // whole for place, there, whole in zip(pixel, logits.shape[1:], size, strict=True)
        )
        (gradient,) = torch.autograd.grad(logits[:, row, column].max(), batch)
    return _as_map(gradient.abs().sum(dim=1, keepdim=True), size)


def _as_seen(segmenter: Segmenter, image: NDArray[np.uint8]) -> Tensor:
    """The image as the network sees it, float (1, 3, h, w) in 0 .. 1."""
    seen = resize_image(image, segmenter.seen_size(image.shape[:2]))
    return torch.from_numpy(seen).to(segmenter.device).permute(2, 0, 1)[None].float() / 255


def _as_map(heat: Tensor, size: tuple[int, ...]) -> Map:
    """(1, 1, h, w) -> float32 (H, W), the most 1."""
    full = resize(heat.detach(), (size[0], size[1]), align_corners=False)[0, 0]
    found: Map = (full / full.max().clamp(min=1e-12)).cpu().numpy()
    return found
