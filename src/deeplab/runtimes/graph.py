"""What is exported: from the pixels of images to logits, the normalisation inside, as one traced graph."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from deeplab.checkpoints import Checkpoint
from deeplab.errors import SettingsError
from deeplab.layers import counted, folded
from deeplab.models import SegmentationModel
from deeplab.runtimes._exported import Description, own_version
from deeplab.runtimes._int8 import closest_range, sample

TRACED_SIZE = (75, 90)
"""Of the images that the graph is traced with where it is to take any: no number that a network treats apart."""


class SensitiveLayer(NamedTuple):
    """What a convolution loses in 8 bits."""

    name: str
    """In the model."""
    loss: float
    """The mean square of the change of the logits."""
    multiply_adds: int


@dataclass(frozen=True)
class Graph:
    """A model as it is to be exported."""

    checkpoint: Checkpoint
    fixed_size: tuple[int, int] | None = None
    """(height, width) of the only image that it takes, one at a time; None: any size and number."""
    labels: bool = False
    """Whether the label map, of the size of the image, is a second output."""

    @property
    def outputs(self) -> list[str]:
        return ["logits", "labels"] if self.labels else ["logits"]

    def description(self) -> Description:
        """Raises SettingsError: no such model can be exported."""
        model, palette = self.checkpoint.model, self.checkpoint.palette
        if model.crf_rnn is not None:
            raise SettingsError("a model that ends in a CRF-RNN cannot be exported; segment with --crf crf-rnn instead")
        if model.arguments["in_channels"] != 3:
            raise SettingsError(f"export wants a model of RGB images, got {model.arguments['in_channels']} channels")
        red, green, blue = (max(0, min(255, round(255 * mean))) for mean in model.prepare.mean.flatten().tolist())
        return Description(
            model=model.entry,
            classes=tuple(self.checkpoint.classes),
            palette=tuple((int(r), int(g), int(b)) for r, g, b in palette),
            long_side=self.checkpoint.preprocessing.long_side,
            align_corners=model.align_corners,
            stride=model.prepare.stride,
            fixed_size=self.fixed_size,
            padding=(red, green, blue),
            version=own_version(),
        )

    def network(self) -> nn.Module:
        """From uint8 (N, H, W, 3) to the outputs."""
        pixels = _Pixels(self.checkpoint.model, labels=self.labels)
        return pixels.eval().to(memory_format=torch.contiguous_format)

    @cached_property
    def onnx(self) -> Any:
        """The `onnx.ModelProto` that several formats are made of. Raises as `deeplab.runtimes.onnx.to_onnx`."""
        from deeplab.runtimes.onnx import to_onnx

        return to_onnx(self)

    @torch.no_grad()
    def sensitive_layers(self, images: Sequence[NDArray[np.uint8]]) -> list[SensitiveLayer]:
        """The convolutions, first those that lose the most for their work if they alone have 8 bits.

        Args:
            images: (1, H, W, 3) each, whose logits tell what is lost.
        """
        network = self.network()
        batches = [torch.from_numpy(image) for image in images]
        exact = [_logits(network, batch) for batch in batches]
        layers = []
        for name, module in network.named_modules():
            if isinstance(module, nn.Conv2d):
                with _in_8_bits(module), counted(module) as work:
                    found = [_logits(network, batch) for batch in batches]
                loss = sum(float((a - b).square().mean()) for a, b in zip(found, exact, strict=True))
                layers.append(SensitiveLayer(name.removeprefix("model."), loss, work.inside))
        return sorted(layers, key=lambda layer: -layer.loss / max(1, layer.multiply_adds))  # a layer may be idle

    @cached_property
    def program(self) -> ExportedProgram:
        """The network as a graph, of any number of images of any size unless that is fixed."""
        if self.fixed_size:
            return torch.export.export(self.network(), (torch.zeros(1, *self.fixed_size, 3, dtype=torch.uint8),))
        any_length = dict.fromkeys((0, 1, 2), Dim.DYNAMIC)
        program = torch.export.export(
            self.network(),
            (torch.zeros(2, *TRACED_SIZE, 3, dtype=torch.uint8),),
            dynamic_shapes={"image": any_length},
            prefer_deferred_runtime_asserts_over_guards=True,
        )
        return _without_asserts(program)


def _without_asserts(program: ExportedProgram) -> ExportedProgram:
    """A size on the grid, which needs no padding or resizing, may take the way of the others: it gives the same."""
    for node in list(program.graph.nodes):
        if node.target is torch.ops.aten._assert_scalar.default:
            program.graph.erase_node(node)
    program.graph.eliminate_dead_code()
    program.graph_module.recompile()
    return program


class _Pixels(nn.Module):
    """Shape: uint8 (N, H, W, 3) RGB -> logits (N, num_classes, h, w), and if asked labels uint8 (N, H, W)"""

    def __init__(self, model: SegmentationModel, *, labels: bool) -> None:
        super().__init__()
        self.model = folded(model)
        self.labels = labels
        self.label_type = torch.uint8 if model.arguments["num_classes"] <= 256 else torch.int32

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        size = (image.shape[1], image.shape[2])
        logits = self.model.coarse_logits(image.permute(0, 3, 1, 2).float() / 255)
        if not self.labels:
            return logits
        return logits, self.model.full_size(logits, size).argmax(dim=1).to(self.label_type)


def _logits(network: nn.Module, image: Tensor) -> Tensor:
    outputs = network(image)
    logits: Tensor = outputs[0] if isinstance(outputs, tuple) else outputs
    return logits


@contextmanager
def _in_8_bits(layer: nn.Conv2d) -> Iterator[None]:
    """Have the layer compute about as it would with 8-bit filters and values."""
    weight = layer.weight.data
    dims = (1, 2, 3)
    layer.weight.data = _rounded(weight, weight.amin(dims, keepdim=True), weight.amax(dims, keepdim=True), levels=127)
    hook = layer.register_forward_pre_hook(lambda _, given: (_closest(given[0]),))
    try:
        yield
    finally:
        hook.remove()
        layer.weight.data = weight


def _closest(x: Tensor) -> Tensor:
    """x in 8-bit numbers of the range that is chosen for it."""
    low, high = closest_range(sample(x.numpy(), np.random.default_rng(0)))
    return _rounded(x.clamp(low, high), torch.tensor(low), torch.tensor(high), levels=255)


def _rounded(x: Tensor, low: Tensor, high: Tensor, *, levels: int) -> Tensor:
    """x in so many steps over its range and zero."""
    step = ((high.clamp(min=0) - low.clamp(max=0)) / levels).clamp(min=1e-12)
    return (x / step).round() * step
