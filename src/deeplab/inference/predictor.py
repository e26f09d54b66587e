"""A model and how it is to be used, from an image to a segmentation of the image's own size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from deeplab.checkpoints import Checkpoint
from deeplab.crf import DenseCRF, open_crf
from deeplab.errors import CheckpointError, DeepLabError, SettingsError
from deeplab.images import read_image, resize_image, size_at
from deeplab.inference.multiscale import Network, View, mean_probabilities, views
from deeplab.inference.read_ahead import read_ahead
from deeplab.inference.remembered import Remembered
from deeplab.inference.tiles import Span, tiles
from deeplab.kernels.upsample_argmax import sample_argmax
from deeplab.results import Segmentation

__all__ = ["Segmenter", "pick_device"]

CPU = torch.device("cpu")

ImageSource: TypeAlias = str | Path | Image.Image | NDArray[Any]


class Segmenter:
    """Segments images: resize, tiles, scales and mirror images, network, and back to the image's own size.

    Shape: uint8 (H, W, 3), or a file or Pillow image -> Segmentation with labels (H, W), any H and W >= 1
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        device: str = "auto",
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
        tile_size: int | None = None,
        long_side: int | None = None,
        crf: DenseCRF | str | Path | None = None,
    ) -> None:
        """
        Args:
            checkpoint: The model, which is moved to the device and put into evaluation mode.
            device: "cpu", "cuda", "cuda:1", "mps"; "auto" takes the first there is of cuda, mps, cpu.
            scales: The probabilities are the mean over the image at these scales.
            flip: The mean is over each scale's mirror image as well.
            tile_size: Side of overlapping tiles, in pixels of what the network sees; None: no tiles.
            long_side: Pixels to which the image's longer side is scaled first; None: as the checkpoint says.
            crf: What sharpens the probabilities along the edges of the image, or its parameters: the name of a preset
                or a .json file of `deeplab tune-crf`.

        Raises:
            CheckpointError: The model is not for RGB images.
            SettingsError: This machine has no such device, or the file's CRF cannot work.
            UnknownNameError, InputNotFoundError: No CRF parameters of that name.
        """
        channels = checkpoint.model.arguments.get("in_channels", 3)
        if channels != 3:
            raise CheckpointError(f"the model takes images of {channels} channels; segmenting needs one for RGB")
        self.device = pick_device(device)
        self.model = checkpoint.model.eval().to(self.device)
        self.network: Network = self.model
        self.classes = checkpoint.classes
        self.palette = checkpoint.palette
        self.scales = tuple(scales)
        self.flip = flip
        self.tile_size = tile_size
        self.long_side = long_side or checkpoint.preprocessing.long_side
        self.crf = open_crf(crf) if isinstance(crf, str | Path) else crf

    def __repr__(self) -> str:
        return f"Segmenter({self.model.entry}, {len(self.classes)} classes, on {self.device})"

    def __call__(self, image: ImageSource, *, crf: DenseCRF | str | Path | None = None) -> Segmentation:
        """Segment one image: a file, a Pillow image, or uint8 (H, W, 3) RGB.

        Args:
            crf: For this image, as in the constructor; None: that of the segmenter, if it has one.

        Raises:
            ImageError, InputNotFoundError: It cannot be read, or the CRF takes more memory than there is.
            CheckpointError: The model gives logits that are not finite.
            UnknownNameError: No CRF parameters of that name.
        """
        crf = open_crf(crf) if isinstance(crf, str | Path) else crf or self.crf
        return next(self._segment([read_image(image)], crf))

    def labels(self, image: NDArray[np.uint8]) -> NDArray[np.uint8 | np.uint16]:
        """The classes of uint8 (H, W, 3) RGB: uint8 (H, W), or uint16 for more than 256 classes."""
        return self(image).labels

    def probabilities(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The probability of each class in uint8 (H, W, 3) RGB: float32 (num_classes, H, W)."""
        return self(image).probabilities

    def remembering(self, folder: str | Path) -> Segmenter:
        """The same segmenter, of which the network's outputs are kept in files of `folder`, for this and later runs."""
        segmenter = copy(self)
        segmenter.network = Remembered(self.model, Path(folder))
        return segmenter

    def stream(
        self,
        images: Iterable[ImageSource],
        *,
        batch_size: int | None = None,
        on_error: Callable[[Any, DeepLabError], None] | None = None,
    ) -> Iterator[Segmentation]:
        """Segment many images in order; the next ones are read meanwhile, neighbours of one size are batched.

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
        batch_size = batch_size or (1 if self.device.type == "cpu" else 8)
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
            if batch and (len(batch) == batch_size or self.seen_size(image) != self.seen_size(batch[0])):
                yield from self._segment(batch, self.crf)
                batch = []
            batch.append(image)
        yield from self._segment(batch, self.crf)

    def _segment(self, images: Sequence[NDArray[np.uint8]], crf: DenseCRF | None) -> Iterator[Segmentation]:
        """Segment images that the network sees at one size; none give none.

        What a CRF made is forgotten when the next image is asked for, lest a list of results fill the memory.
        """
        for image, parts in zip(images, self._run(images), strict=True):
            size = image.shape[0], image.shape[1]
            kept = [part.to(CPU) for part in parts]  # results do not fill the GPU's memory
            sharpened = None if crf is None else _Sharpened(crf, image, kept, self.device)
            labels = _labels(parts, size) if sharpened is None else _as_labels(sharpened())
            yield Segmentation(
                labels=labels,
                classes=self.classes,
                palette=self.palette,
                image=image,
                compute_probabilities=sharpened or partial(_probabilities, kept, size, self.device),
            )
            if sharpened is not None:
                sharpened.forget()

    def _run(self, images: Sequence[NDArray[np.uint8]]) -> list[list[_Part]]:
        """Show the images, as one batch, to the network; by image, what it made of each tile."""
        found: list[list[_Part]] = [[] for _ in images]
        if not images:
            return found
        size = self.seen_size(images[0])
        grid = tiles(size, tile=self.tile_size)
        if len(grid) > 1:
            images = [resize_image(image, size) for image in images]
        for rows, columns in grid:
            crops = images if len(grid) == 1 else [image[rows.window, columns.window] for image in images]
            seen = views(
                self.network,
                crops,
                size=(rows.window.stop - rows.window.start, columns.window.stop - columns.window.start),
                scales=self.scales,
                flip=self.flip,
                device=self.device,
            )
            for parts, of_image in zip(found, seen, strict=True):
                parts.append(_Part(rows, columns, of_image))
        return found

    def seen_size(self, image: NDArray[np.uint8]) -> tuple[int, int]:
        """The (height, width) at which the network sees an image, before tiles and scales."""
        return size_at(self.long_side, image.shape[:2])


def pick_device(name: str) -> torch.device:
    """The device of this name; "auto" is the first there is of cuda, mps and cpu.

    Raises:
        SettingsError: This machine has no such device.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(kind for kind, available in there.items() if available))
    kind, _, number = name.partition(":")
    if not there.get(kind) or (number and kind == "cuda" and int(number) >= torch.cuda.device_count()):
        usable = ", ".join(kind for kind, available in there.items() if available)
        raise SettingsError(f"device '{name}' does not work with the PyTorch on this machine; use {usable} or auto")
    return torch.device(name)


@dataclass(frozen=True, eq=False)
class _Part:
    """A tile of an image and what the network made of it, at every scale."""

    rows: Span
    columns: Span
    views: tuple[View, ...]

    def to(self, device: torch.device) -> _Part:
        return replace(self, views=tuple(view.to(device) for view in self.views))


class _Sharpened:
    """The probabilities behind a CRF, float32 (num_classes, H, W): kept until they are forgotten, then made again."""

    def __init__(self, crf: DenseCRF, image: NDArray[np.uint8], parts: Sequence[_Part], device: torch.device) -> None:
        self.crf, self.image, self.parts, self.device = crf, image, parts, device
        self.kept: NDArray[np.float32] | None = self._compute()

    def __call__(self) -> NDArray[np.float32]:
        return self._compute() if self.kept is None else self.kept

    def forget(self) -> None:
        self.kept = None

    def _compute(self) -> NDArray[np.float32]:
        """The CRF works where the probabilities are: on a GPU of CUDA, else on the CPU."""
        on = self.device if self.device.type == "cuda" else CPU
        sharp = self.crf(self.image, _as_tensor(self.parts, self.image.shape[:2], self.device, on=on))
        result: NDArray[np.float32] = sharp.cpu().numpy()
        return result


def _labels(parts: Sequence[_Part], size: tuple[int, int]) -> NDArray[np.uint8 | np.uint16]:
    """The classes in an image of `size`, (H, W), of which every part gives the pixels that it keeps."""
    num_classes = len(parts[0].views[0].logits)
    labels = np.empty(size, np.uint8 if num_classes <= 256 else np.uint16)
    for part in parts:
        (height, rows), (width, columns) = part.rows.output(size[0]), part.columns.output(size[1])
        if len(part.views) == 1:
            view = part.views[0]
            logits = view.logits.cpu().numpy()
            labels[height, width] = sample_argmax(logits, view.rows(rows), view.columns(columns))
            continue
        target = labels[height, width]
        for strip, probabilities in mean_probabilities(part.views, rows, columns):
            target[strip] = probabilities.max(dim=0).indices.cpu().numpy()  # 6 times as fast as argmax
    return labels


def _as_labels(probabilities: NDArray[np.float32]) -> NDArray[np.uint8 | np.uint16]:
    """The most probable class at each pixel, (num_classes, H, W) -> (H, W)."""
    labels: NDArray[np.uint8 | np.uint16] = probabilities.argmax(axis=0).astype(
        np.uint8 if len(probabilities) <= 256 else np.uint16
    )
    return labels


def _probabilities(parts: Sequence[_Part], size: tuple[int, int], device: torch.device) -> NDArray[np.float32]:
    """The probability of each class in an image of `size`, float32 (num_classes, H, W)."""
    result: NDArray[np.float32] = _as_tensor(parts, size, device, on=CPU).numpy()
    return result


def _as_tensor(
    parts: Sequence[_Part], size: tuple[int, ...], device: torch.device, *, on: torch.device
) -> torch.Tensor:
    """The same, computed on one device and put together on another."""
    result = torch.empty((len(parts[0].views[0].logits), *size), device=on)
    for part in parts:
        (height, rows), (width, columns) = part.rows.output(size[0]), part.columns.output(size[1])
        target = result[:, height, width]
        for strip, probabilities in mean_probabilities(part.to(device).views, rows, columns):
            target[:, strip] = probabilities
    return result
