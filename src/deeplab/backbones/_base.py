"""What every backbone gives, and how a stride becomes a dilation."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable, Iterator
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from deeplab import catalog
from deeplab.errors import SettingsError, unknown_name

T = TypeVar("T")

OUTPUT_STRIDES = (4, 8, 16, 32)


class Features(NamedTuple, Generic[T]):
    """The deepest features of each stage, by the papers' names: at stride 4, 8, 16, 32, no coarser than the output."""

    res2: T
    res3: T
    res4: T
    res5: T


class Backbone(nn.Module):
    """A network whose features DeepLab reads.

    Shape: (N, in_channels, H, W), normalised -> Features of (N, channels.resK, ceil(H / stride), ceil(W / stride))
    """

    channels: Features[int]
    in_channels: int
    """Of the image; `create_backbone` sets it."""
    image_mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    """What the weights of this backbone were trained to have subtracted, of an RGB image in 0 .. 1."""
    image_std: tuple[float, ...] = (0.5, 0.5, 0.5)

    def forward(self, x: Tensor) -> Features[Tensor]:
        raise NotImplementedError

    @torch.inference_mode(False)
    @torch.enable_grad()
    def stages(self) -> dict[str, list[nn.Parameter]]:
        """Every parameter by its stage, in order: "stem", then "res2" to "res5".

        A parameter belongs to the first features that depend on it; of those for res2 the layers up to the last that
        gives more than a quarter of the image's sides are the stem. So a block that gives features from its middle is
        parted there, and a network whose first layer has stride 4 has an empty stem.
        """
        side = 32
        probe = copy.deepcopy(self).eval().requires_grad_()
        weight = next(probe.parameters())
        called: list[nn.Module] = []
        fine = 0

        def note(module: nn.Module, _: Any, out: Any) -> None:
            nonlocal fine
            called.append(module)
            if isinstance(out, Tensor) and out.ndim == 4 and out.shape[-1] > side // 4:
                fine = len(called)

        for module in probe.modules():
            module.register_forward_hook(note)
        features = probe(torch.zeros(1, self.in_channels, side, side, device=weight.device, dtype=weight.dtype))
        early = {id(parameter) for module in called[:fine] for parameter in module.parameters(recurse=False)}
        stages: dict[str, list[nn.Parameter]] = {stage: [] for stage in ("stem", *Features._fields)}
        rest = dict(zip(probe.parameters(), self.parameters(), strict=True))
        for stage, feature in zip(Features._fields, features, strict=True):
            if rest:
                gradients = torch.autograd.grad(feature.sum(), list(rest), retain_graph=True, allow_unused=True)
                reached = [twin for twin, gradient in zip(rest, gradients, strict=True) if gradient is not None]
                for twin in list(rest) if stage == "res5" else reached:
                    stages["stem" if id(twin) in early else stage].append(rest.pop(twin))
        return stages

    def replica(self, rate: int) -> nn.Module:
        """A further block like the last stage, on its output, dilated by `rate` (DeepLab v3, section 3.2).

        Shape: (N, channels.res5, h, w) -> the same

        Raises:
            SettingsError: The last stage is no block of residual units.
        """
        raise SettingsError(f"{type(self).__name__} ends in no block of residual units to repeat; choose a ResNet")


def create_backbone(name: str, *, in_channels: int = 3, output_stride: int = 16, **options: Any) -> Backbone:
    """Build the backbone `name` with random weights.

    Args:
        output_stride: 4, 8, 16 or 32; strides beyond it become dilations, with the same weights.
        options: what the backbone's file offers beside (padding, depth_multiplier, multi_grid ...).

    Raises:
        UnknownNameError: No such backbone.
        SettingsError: An output stride that no backbone has, or an option that this one does not have.
    """
    build = catalog.builder("backbones", name)
    if output_stride not in OUTPUT_STRIDES:
        raise SettingsError(f"output_stride is {output_stride}; it can be {', '.join(map(str, OUTPUT_STRIDES))}")
    known = inspect.signature(build).parameters
    for option in options:
        if option not in known:
            raise SettingsError(str(unknown_name(f"option of {name}", option, set(known) - {"in_channels"})))
    catalog.check_options(build, options)
    backbone: Backbone = build(in_channels=in_channels, output_stride=output_stride, **options)
    backbone.in_channels = in_channels
    return backbone


class Step(NamedTuple):
    """How a block samples: what it strides, and the dilation of the grid that it reads and of the one it writes."""

    stride: int
    dilation: int
    dilation_after: int
    """For a second 3 x 3 in the block; more than `dilation` where a stride was taken out."""


def atrous_plan(strides: Iterable[int], *, start: int, output_stride: int) -> Iterator[Step]:
    """How each block in turn samples, so that the last features have `output_stride`.

    A block whose stride would go beyond the output stride keeps stride 1 and the dilation so far: it still reads the
    undilated grid, and only the blocks after it are dilated. So a finer output stride only adds samples between those
    of a coarser one (slim's mobilenet.py and resnet_utils.py do the same).

    Args:
        strides: The stride of each block of the undilated network.
        start: The stride of the features that enter the first block.
    """
    current, dilation = start, 1
    for stride in strides:
        if current * stride <= output_stride:
            current *= stride
            yield Step(stride, dilation, dilation)
        else:
            yield Step(1, dilation, dilation * stride)
            dilation *= stride
