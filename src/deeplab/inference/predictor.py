"""A model and how it is to be used, from an image to a segmentation of the image's own size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deeplab._machine import free_memory
from deeplab.errors import CheckpointError, DeepLabError, SettingsError
from deeplab.images import read_image, size_at
from deeplab.inference.multiscale import View, mean_probabilities, mean_probabilities_at, views
from deeplab.inference.network import Exported, Network
from deeplab.inference.read_ahead import read_ahead
from deeplab.inference.remembered import RememberedNetwork
from deeplab.inference.tiles import Tiled
from deeplab.results import Segmentation

if TYPE_CHECKING:
    from deeplab.checkpoints import Checkpoint
    from deeplab.crf import DenseCRF
    from deeplab.inference.torch_network import TorchNetwork
    from deeplab.models import SegmentationModel

__all__ = ["TILE_SIZE", "Segmenter", "centres"]

ImageSource: TypeAlias = str | Path | Image.Image | NDArray[Any]

PIXEL_BYTES = 1280
"""Of memory that a network takes for each pixel; measured: 260 of MobileNetV3 to 1190 of DeepLab v2 on ResNet-101."""

MANY = 0.25
"""Share of the pixels from which on the probabilities of all, row by row, are sooner there than those of each."""

TILE_SIZE = 769
"""Of images that are too large for the memory, where nothing else was asked for."""


class Segmenter:
    """Segments images: resize, tiles, scales and mirror images, network, and back to the image's own size.

    Shape: uint8 (H, W, 3), or a file or Pillow image -> Segmentation with labels (H, W), any H and W >= 1
    """

    def __init__(
        self,
        checkpoint: Checkpoint | Exported,
        *,
        device: str = "auto",
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
        tile_size: int | None = None,
        long_side: int | None = None,
        crf: DenseCRF | str | Path | None = None,
        precision: str = "float32",
        compiled: bool = False,
    ) -> None:
        """
        Args:
            checkpoint: The model, which is moved to the device and put into evaluation mode; or an exported one.
            device: "cpu", "cuda", "cuda:1", "mps"; "auto" takes the first there is of cuda, mps, cpu. An exported
                network stays where it was opened.
            scales: The probabilities are the mean over the image at these scales.
            flip: The mean is over each scale's mirror image as well.
            tile_size: Side of overlapping tiles, in pixels of what the network sees; None: no tiles, unless the memory
                is too small for the image.
            long_side: Pixels to which the image's longer side is scaled first; None: as the checkpoint says.
            crf: What sharpens the probabilities along the edges of the image, or its parameters: the name of a preset
                or a .json file of `deeplab tune-crf`.
            precision: As of `TorchNetwork`, and so `compiled`; an exported network has its own.

        Raises:
            CheckpointError: The model is not for RGB images.
            SettingsError: This machine has no such device or precision, the file's CRF cannot work, or a network that
                was exported, or exported for images of one size, cannot have this option.
            UnknownNameError, InputNotFoundError: No CRF parameters of that name.
        """
        if isinstance(checkpoint, Exported):
            if precision != "float32" or compiled:
                raise SettingsError("precision and compiled are for models of PyTorch, not for exported ones")
            self.network: Network = checkpoint.network
            self.long_side = long_side or checkpoint.long_side
        else:
            from deeplab.inference.torch_network import TorchNetwork, pick_device

            self.network = TorchNetwork(
                checkpoint.model, device=pick_device(device), precision=precision, compiled=compiled
            )
            self.long_side = long_side or checkpoint.preprocessing.long_side
        if self.network.fixed_size and (tuple(scales) != (1.0,) or tile_size or long_side):
            height, width = self.network.fixed_size
            raise SettingsError(
                f"the network was exported for images of {height} x {width}: leave out scales, tile_size and "
                "long_side, or export it without a fixed size"
            )
        self.classes = checkpoint.classes
        self.palette = checkpoint.palette
        self.scales = tuple(scales)
        self.flip = flip
        self.tile_size = tile_size
        self.crf = _opened(crf)
        self.most_pixels = 0
        """That the network saw at a time: they fit, also where an engine keeps what it freed."""

    @property
    def model(self) -> SegmentationModel:
        """The PyTorch model; what runs is a copy of it that was made for inference when the segmenter was.

        Raises:
            CheckpointError: The network was exported.
        """
        return self.torch_network.model

    @property
    def torch_network(self) -> TorchNetwork:
        """What runs the model. Raises as `model`."""
        from deeplab.inference.torch_network import TorchNetwork

        network = self.network.network if isinstance(self.network, RememberedNetwork) else self.network
        if not isinstance(network, TorchNetwork):
            raise CheckpointError("an exported network cannot be looked into; load the model that it was made from")
        return network

    @property
    def device(self) -> Any:
        """Where the network runs: a torch.device, or a name."""
        return self.network.device

    def __repr__(self) -> str:
        return f"Segmenter({self.network.name}, {len(self.classes)} classes, on {self.device})"

    def __call__(self, image: ImageSource, *, crf: DenseCRF | str | Path | None = None) -> Segmentation:
        """Segment one image: a file, a Pillow image, or uint8 (H, W, 3) RGB (of OpenCV's BGR, `image[..., ::-1]`).

        Args:
            crf: For this image, as in the constructor; None: that of the segmenter, if it has one.

        Raises:
            ImageError, InputNotFoundError: It cannot be read, or the CRF takes more memory than there is.
            CheckpointError: The model gives logits that are not finite.
            UnknownNameError: No CRF parameters of that name.
        """
        return next(self._segment([read_image(image)], _opened(crf) or self.crf))

    def labels(self, image: NDArray[np.uint8]) -> NDArray[np.uint8 | np.uint16]:
        """The classes of uint8 (H, W, 3) RGB: uint8 (H, W), or uint16 for more than 256 classes."""
        return self(image).labels

    def probabilities(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The probability of each class in uint8 (H, W, 3) RGB: float32 (num_classes, H, W)."""
        return self(image).probabilities

    def remembering(self, folder: str | Path) -> Segmenter:
        """The same segmenter, of which the network's outputs are kept in files of `folder`, for this and later runs."""
        return self.changed(network=RememberedNetwork(self.network, Path(folder)))

    def changed(
        self,
        *,
        network: Network | None = None,
        scales: Sequence[float] | None = None,
        flip: bool | None = None,
        classes: tuple[str, ...] | None = None,
        palette: NDArray[np.uint8] | None = None,
    ) -> Segmenter:
        """The same segmenter but for what is given."""
        given = {"network": network, "scales": scales, "flip": flip, "classes": classes, "palette": palette}
        segmenter = copy(self)
        for name, value in given.items():
            if value is not None:
                setattr(segmenter, name, value)
        return segmenter

    def stream(
        self,
        images: Iterable[ImageSource],
        *,
        batch_size: int | None = None,
        on_error: Callable[[Any, DeepLabError], None] | None = None,
    ) -> Iterator[Segmentation]:
        """Segment many images in order; the next ones are read meanwhile, neighbours of one size are batched.

        For frames as a camera gives them, call the segmenter with each: a stream takes at least two images ahead.

        Args:
            images: A list, or anything else that gives one image after the other.
            batch_size: Images in a batch; None: 1 on a CPU, where more are no faster, else 8.
            on_error: Called with each image that cannot be read and its error, after the results of the
                images before it and before those of the images after it; then the stream goes on. None: the
                error is raised.

        Raises:
            ImageError, InputNotFoundError: An image cannot be read and there is no `on_error`.
            CheckpointError: The model gives logits that are not finite.
            SettingsError: `images` is one path, or the batch has no images.
        """
        if isinstance(images, str | Path):
            raise SettingsError(f"stream takes a list of images, got the path '{images}'; call the segmenter with it")
        if batch_size is not None and batch_size < 1:
            raise SettingsError(f"batch_size wants a whole number of at least 1, got {batch_size}")
        batch_size = batch_size or (1 if str(self.device) == "cpu" else 8)
        batch: list[NDArray[np.uint8]] = []
        for source, reading in read_ahead(read_image, images, ahead=max(2, batch_size)):
            try:
                image = reading.result()
            except DeepLabError as error:
                yield from self._segment(batch, self.crf)
                batch = []
                if on_error is None:
                    raise
                on_error(source, error)
                continue
            size = self.seen_size(image.shape[:2])
            if batch and size != self.seen_size(batch[0].shape[:2]):
                yield from self._segment(batch, self.crf)
                batch = []
            batch.append(image)
            if len(batch) == batch_size:
                yield from self._segment(batch, self.crf)
                batch = []
        yield from self._segment(batch, self.crf)

    def _segment(self, images: Sequence[NDArray[np.uint8]], crf: DenseCRF | None) -> Iterator[Segmentation]:
        """Segment images that the network sees at one size; none give none.

        What a CRF made is forgotten when the next image is asked for, lest a list of results fill the memory.
        """
        for image, seen in zip(images, self._look_at(images), strict=True):
            size = image.shape[0], image.shape[1]
            fetched = tuple(view.fetched() for view in seen)  # results that are kept fill no GPU
            sharpened = None if crf is None else _Sharpened(crf, image, fetched, on=str(self.device))
            labels = _labels(seen, size) if sharpened is None else _as_labels(sharpened())
            yield Segmentation(
                labels=labels,
                classes=self.classes,
                palette=self.palette,
                image=image,
                compute_probabilities=sharpened or partial(_probabilities, fetched, size),
                compute_confidence=partial(_confidence, fetched[0], size) if len(seen) == 1 and crf is None else None,
            )
            if sharpened is not None:
                sharpened.forget()

    def _look_at(self, images: Sequence[NDArray[np.uint8]]) -> list[tuple[View, ...]]:
        """Show the images, as one batch, to the network; what it made of each, scaled and mirrored."""
        if not images:
            return []
        size = self.seen_size(images[0].shape[:2])
        network = self.by_tiles((round(size[0] * max(self.scales)), round(size[1] * max(self.scales))), len(images))
        return views(network, images, size=size, scales=self.scales, flip=self.flip)

    def by_tiles(self, size: tuple[int, int], count: int = 1) -> Network:
        """The network, showing it tiles where that is asked for, or `count` images of `size` are more than fits."""
        if self.tile_size:
            return Tiled(self.network, tile_size=self.tile_size)
        pixels = count * size[0] * size[1]
        if self.network.fixed_size or pixels <= self.most_pixels:
            return self.network
        free = free_memory(str(self.device))
        if free is None or pixels * PIXEL_BYTES <= free:
            self.most_pixels = pixels
            return self.network
        return Tiled(self.network, tile_size=TILE_SIZE)

    def seen_size(self, size: tuple[int, ...]) -> tuple[int, int]:
        """The (height, width) at which the network sees an image of this one, before tiles and scales."""
        if self.network.fixed_size is None:
            return size_at(self.long_side, size)
        height, width = self.network.fixed_size
        return size_at(_longest_side(size, within=(height, width)), size)


class _Sharpened:
    """The probabilities behind a CRF, float32 (num_classes, H, W): kept until they are forgotten, then made again."""

    def __init__(self, crf: DenseCRF, image: NDArray[np.uint8], seen: Sequence[View], *, on: str) -> None:
        """
        Args:
            on: The device of the network; where that is a GPU that PyTorch can use by CUDA, the CRF works there too.
        """
        self.crf, self.image, self.seen, self.on = crf, image, seen, on
        self.kept: NDArray[np.float32] | None = self._compute()

    def __call__(self) -> NDArray[np.float32]:
        kept = self.kept  # another thread may forget it
        return self._compute() if kept is None else kept

    def forget(self) -> None:
        self.kept = None

    def _compute(self) -> NDArray[np.float32]:
        probabilities = _probabilities(self.seen, (self.image.shape[0], self.image.shape[1]))
        if self.on.startswith("cuda"):
            import torch

            if torch.cuda.is_available():
                there = torch.from_numpy(probabilities).to(self.on)
                sharp: NDArray[np.float32] = self.crf(self.image, there).cpu().numpy()
                return sharp
        return self.crf(self.image, probabilities)


def _labels(seen: Sequence[View], size: tuple[int, int]) -> NDArray[np.uint8 | np.uint16]:
    """The class of each pixel of an image of `size`, (H, W).

    A class that is on top in every view is on top in their mean; only where the views differ is that computed.
    """
    rows, columns = map(centres, size)
    labels = seen[0].labels(rows, columns)
    if len(seen) == 1:
        return labels
    differ = np.zeros(size, np.bool_)
    for view in seen[1:]:
        differ |= view.labels(rows, columns) != labels
    pixels = np.flatnonzero(differ)
    if len(pixels) > MANY * differ.size:
        for strip, probabilities in mean_probabilities(seen, rows, columns):
            labels[strip] = _as_labels(probabilities)
        return labels
    for part, probabilities in mean_probabilities_at(seen, rows, columns, pixels):
        np.put(labels, pixels[part], _as_labels(probabilities))
    return labels


def _as_labels(probabilities: NDArray[np.float32]) -> NDArray[np.uint8 | np.uint16]:
    """The most probable class at each pixel, (num_classes, ...) -> (...)."""
    labels = np.zeros(probabilities.shape[1:], np.uint8 if len(probabilities) <= 256 else np.uint16)
    highest = probabilities[0].copy()
    for label, candidate in enumerate(probabilities[1:], start=1):  # a quarter of the time of numpy's argmax
        labels[candidate > highest] = label
        np.maximum(highest, candidate, out=highest)
    return labels


def _probabilities(seen: Sequence[View], size: tuple[int, int]) -> NDArray[np.float32]:
    """The probability of each class in an image of `size`, float32 (num_classes, H, W)."""
    result = np.empty((len(seen[0].logits), *size), np.float32)
    for strip, probabilities in mean_probabilities(seen, *map(centres, size)):
        result[:, strip] = probabilities
    return result


def _confidence(view: View, size: tuple[int, int]) -> NDArray[np.float32]:
    """The probability of the class of each pixel of an image of `size`, float32 (H, W)."""
    from deeplab.kernels.confidence import sample_confidence

    rows, columns = map(centres, size)
    return sample_confidence(view.logits, view.rows(rows), view.columns(columns)).probability


def centres(pixels: int) -> NDArray[np.float64]:
    """Of the pixels along an axis: 0 is its start, 1 its end."""
    centres: NDArray[np.float64] = (np.arange(pixels) + 0.5) / pixels
    return centres


def _opened(crf: DenseCRF | str | Path | None) -> DenseCRF | None:
    if not isinstance(crf, str | Path):
        return crf
    from deeplab.crf import open_crf

    return open_crf(crf)


def _longest_side(size: tuple[int, ...], *, within: tuple[int, int]) -> int:
    """Of an image of `size`, scaled to fit."""
    factor = min(room / length for room, length in zip(within, size, strict=True))
    return max(1, int(max(size) * factor + 1e-6))
