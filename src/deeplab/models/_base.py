"""What every model shares: the way in (normalise, pad to the grid), the way out (resize), its arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from deeplab import catalog
from deeplab.backbones import Backbone, create_backbone
from deeplab.errors import SettingsError, unknown_name
from deeplab.layers import Prepare, rescale, resize, use_group_norm

if TYPE_CHECKING:
    from deeplab.crf import CRFRNN

ASPP_OPTIONS = (
    "aspp_project",
    "aspp_project_kernel_size",
    "aspp_separable",
    "atrous_rates",
    "image_pooling",
    "image_pooling_crop_size",
    "image_pooling_stride",
    "pooling_align_corners",
    "pooling_norm",
    "squeeze_excite",
)
"""Options of builders that reach nothing but ASPP."""

Merge = Literal["max", "mean"]
"""What becomes of the logits of several scales: the largest of each, or their mean."""


class SegmentationModel(nn.Module):
    """An image in, one score per class and pixel out.

    Shape: (N, in_channels, H, W), RGB in 0 .. 1 -> logits (N, num_classes, H, W), any H and W >= 1
    """

    backbone: Backbone
    """All that pre-training gives; everything else is the head."""
    last_layer: str = "classify."
    """How the names of those tensors begin that have a row for each class."""

    prepare: Prepare
    """This and all below is the same for every model; `create_model` sets it."""
    align_corners: bool
    scales: tuple[float, ...]
    merge: Merge
    crf_rnn: CRFRNN | None
    entry: str
    """Its name in the catalogue."""
    arguments: dict[str, Any]
    """What builds it again, with random weights."""

    def scores(self, x: Tensor) -> Tensor:
        """An image as `prepare` gives it, at one scale -> logits (N, num_classes, h, w) at the head's own stride."""
        raise NotImplementedError

    def coarse_logits(self, image: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> logits (N, num_classes, h, w), which spread over `grid_size((H, W))` pixels.

        Those at the head's own stride, of the padded image; with a CRF-RNN, which works on pixels, the final ones.
        """
        return self.refined(self.unrefined(image), image)

    def unrefined(self, image: Tensor) -> Tensor:
        """The logits at the head's own stride, of the padded image, before any CRF-RNN."""
        return self.merged_scores(self.prepare(image))

    def refined(self, coarse: Tensor, image: Tensor) -> Tensor:
        """What `coarse_logits` makes of the `unrefined` ones."""
        if self.crf_rnn is None:
            return coarse
        logits = self.full_size(coarse, (image.shape[-2], image.shape[-1]))
        if not torch.isfinite(logits).all():
            return logits  # who asked for them says what is wrong with the network
        refined: Tensor = self.crf_rnn(255 * image, logits)
        return refined

    def merged_scores(self, x: Tensor) -> Tensor:
        """The `scores` of all scales, merged at the size of those of the largest one."""
        pyramid = [self.scores(rescale(x, scale, align_corners=self.align_corners)) for scale in self.scales]
        if len(pyramid) == 1:
            return pyramid[0]
        height, width = pyramid[self.scales.index(max(self.scales))].shape[-2:]
        logits = torch.stack([resize(each, (height, width), align_corners=self.align_corners) for each in pyramid])
        return logits.amax(dim=0) if self.merge == "max" else logits.mean(dim=0)

    def grid_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The (height, width) that the coarse logits of an image of `size` spread over; the image is its top left."""
        return self.prepare.grid_size(size) if self.crf_rnn is None else size

    def full_size(self, coarse: Tensor, size: tuple[int, int]) -> Tensor:
        """Logits at a head's own stride, of a padded image -> those of the image, (N, num_classes, height, width)."""
        height, width = size
        logits = resize(coarse.float(), self.prepare.grid_size(size), align_corners=self.align_corners)
        return logits[..., :height, :width]

    @property
    def ends_coarse(self) -> bool:
        """Whether `full_size` is the last step, so that a loss may take the coarse logits instead."""
        return self.crf_rnn is None

    def forward(self, image: Tensor) -> Tensor:
        logits = self.coarse_logits(image)
        return self.full_size(logits, (image.shape[-2], image.shape[-1])) if self.ends_coarse else logits


def create_model(
    name: str,
    *,
    backbone: str = "mobilenetv2",
    num_classes: int = 21,
    output_stride: int = 16,
    in_channels: int = 3,
    image_mean: Sequence[float] | None = None,
    image_std: Sequence[float] | None = None,
    align_corners: bool = True,
    pad_to_grid: bool = True,
    scales: Sequence[float] = (1.0,),
    merge: Merge = "max",
    norm: Literal["batch", "group"] = "batch",
    crf_rnn: bool = False,
    **options: Any,
) -> SegmentationModel:
    """Build the model `name` with random weights.

    Args:
        backbone: Its name in the catalogue, or `timm/NAME` for an encoder of timm.
        output_stride: Image size over the size of the deepest features: 4, 8, 16 or 32.
        image_mean: Subtracted from each channel of the image in 0 .. 1; None: what the backbone was pre-trained with.
        image_std: Divides each channel; None as above.
        align_corners: How logits are resized.
        pad_to_grid: With align_corners, whether the image is padded to k * output_stride + 1 first (see Prepare), so
            that every size has the geometry of the official crops; other systems' models were not.
        scales: The network sees the prepared image at each (DeepLab v2, section 4.1.2, "MSC" with (0.5, 0.75, 1); the
            official `image_pyramid`). They are a part of the model, in training as well.
        merge: The logits are the largest of the scales' or their mean (the official `merge_method`).
        norm: Group norm in the place of every batch norm, for batches too small for statistics.
        crf_rnn: End the model in a CRF-RNN (`deeplab.crf.CRFRNN`), which refines its logits along the edges of the
            image. It is a part of the model, in training as well.
        options: What the model's and the backbone's files offer beside (atrous_rates, depth_multiplier ...).

    Raises:
        UnknownNameError: No such model or backbone.
        SettingsError: A value that cannot work, or an option that neither has.
    """
    own: dict[str, Any] = {
        "backbone": backbone,
        "num_classes": num_classes,
        "output_stride": output_stride,
        "in_channels": in_channels,
        "image_mean": image_mean,
        "image_std": image_std,
        "align_corners": align_corners,
        "pad_to_grid": pad_to_grid,
        "scales": scales,
        "merge": merge,
        "norm": norm,
        "crf_rnn": crf_rnn,
    }
    catalog.check_options(create_model, {"name": name, **own})
    if num_classes < 1 or in_channels < 1:
        raise SettingsError(f"num_classes and in_channels must be at least 1; got {num_classes} and {in_channels}")
    own, options = _plain(own), _plain(options)
    num_classes, output_stride, in_channels = own["num_classes"], own["output_stride"], own["in_channels"]
    scales = tuple(own["scales"])
    if not scales or min(scales) <= 0:
        raise SettingsError(f"scales want at least one number, each above 0; got {tuple(scales)}")
    build = catalog.builder("models", name)
    catalog.check_options(build, options)
    _check_sizes(options)
    given = {"num_classes", "in_channels", "output_stride", "align_corners", "pad_to_grid", "backbone"}
    head_options = inspect.signature(build).parameters.keys() - given
    backbone_options = inspect.signature(catalog.builder("backbones", backbone)).parameters.keys() - given
    for option in options.keys() - head_options - backbone_options:
        raise SettingsError(
            str(unknown_name(f"option of {name} on {backbone}", option, head_options | backbone_options))
        )
    encoder = create_backbone(
        backbone,
        in_channels=in_channels,
        output_stride=output_stride,
        **{key: value for key, value in options.items() if key in backbone_options},
    )
    model: SegmentationModel = build(
        encoder,
        num_classes=num_classes,
        output_stride=output_stride,
        **{key: value for key, value in options.items() if key in head_options},
    )
    if norm == "group":
        use_group_norm(model)
    mean = _per_channel("image_mean", image_mean, encoder.image_mean, in_channels)
    std = _per_channel("image_std", image_std, encoder.image_std, in_channels)
    if min(std) <= 0:
        raise SettingsError(f"image_std has to be above 0; got {', '.join(map(str, std))}")
    model.prepare = Prepare(mean, std, stride=output_stride if align_corners and pad_to_grid else 1)
    model.align_corners = align_corners
    model.scales, model.merge = scales, merge
    model.crf_rnn = _crf_rnn(num_classes) if crf_rnn else None
    model.entry = name
    model.arguments = {**own, "image_mean": mean, "image_std": std, "scales": list(scales), **options}
    return model


def _plain(value: Any) -> Any:
    """NumPy's numbers as Python's, which can be written to a file, also inside lists and mappings."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value] if isinstance(value, list) else tuple(map(_plain, value))
    return value.item() if isinstance(value, np.generic) else value


def _check_sizes(options: Mapping[str, Any]) -> None:
    """Raise SettingsError for layers without channels and for dropout that leaves nothing."""
    for name, value in options.items():
        numbers = value if isinstance(value, list | tuple) else (value,)
        if name.endswith("channels") and any(isinstance(number, int) and number < 1 for number in numbers):
            raise SettingsError(f"{name} wants whole numbers of at least 1, got {value!r}")
    dropout = options.get("dropout", 0)
    if not 0 <= dropout < 1:
        raise SettingsError(f"dropout wants a number from 0 to below 1, got {dropout!r}")


def refuse_options_of_aspp(
    build: Callable[..., Any], given: Mapping[str, Any], *, instead: str, also: Sequence[str] = ()
) -> None:
    """Raise SettingsError for options of ASPP among those `given` to a builder, where something else is in its place.

    Args:
        build: The builder; what equals its default was not given.
        instead: The option that put something else there.
        also: Further options that nothing reads then.
    """
    for name, parameter in inspect.signature(build).parameters.items():
        if name in (*ASPP_OPTIONS, *also) and given[name] != parameter.default:
            raise SettingsError(f"{name} is an option of ASPP, and {instead} puts something else there; leave one out")


def _crf_rnn(num_classes: int) -> CRFRNN:
    from deeplab.crf import CRFRNN  # with numba, for the few models that have one

    return CRFRNN(num_classes)


def _per_channel(name: str, given: Sequence[float] | None, default: Sequence[float], channels: int) -> list[float]:
    """One value per channel; the backbone's three are averaged for another number of channels."""
    if given is None:
        given = default if len(default) == channels else [sum(default) / len(default)] * channels
    if len(given) != channels:
        raise SettingsError(f"{name} has {len(given)} values but the image has {channels} channels; give one for each")
    return [float(value) for value in given]
