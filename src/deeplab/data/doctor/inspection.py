"""What one sample is, in numbers: everything that the checks need to know of its two files, and nothing else.

A finding speaks of many samples, so the files are read first, each once, and judged afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeplab.data.dataset import DataSet
from deeplab.data.doctor.duplicates import SIDE, fingerprint
from deeplab.data.drawing import Drawing
from deeplab.data.sample import Part, Sample
from deeplab.errors import DeepLabError
from deeplab.files import File
from deeplab.images import Header, number_of_pictures, read_header, read_image, read_labels, read_small
from deeplab.kernels.label_map import measure

__all__ = ["ImageFacts", "Inspection", "MaskFacts", "Parts", "inspect", "is_ignored", "raw_labels"]

Labels = NDArray[np.uint8 | np.uint16]

GREY = 3
"""Largest difference of the bands of a grey pixel, 0..255: a grey JPEG may be stored in colours."""

SMOOTHED = 0.1
"""Pixels with a label between those of their neighbours, over pixels at borders. Measured on CamVid, CCP, COCO and the
Dubai tiles: at most 0.045 as they are, and in the median 0.16 to 0.56 once scaled bilinearly."""


@dataclass(frozen=True)
class ImageFacts:
    """Of an image file; without a header it is unreadable."""

    problem: str = ""
    """Why it cannot be read."""
    header: Header | None = None
    size: tuple[int, int] = (0, 0)
    """(height, width), upright."""
    grey: bool = False
    blank: bool = False
    """All of one colour."""
    fingerprint: str = ""
    """See `duplicates.fingerprint`."""
    pictures: int = 1
    """Pages or frames, of which the first one is read."""


@dataclass(frozen=True)
class Parts:
    """Of one label in one mask."""

    label: int
    pixels: int
    objects: tuple[int, ...]
    """Connected parts by octave of their area: of 1 pixel, of 2 or 3, of 4 to 7 ..."""
    object_pixels: tuple[int, ...]


@dataclass(frozen=True)
class MaskFacts:
    """Of a mask file; `labels` are as they are in the file, whether they are classes or not."""

    problem: str = ""
    """Why it does not give labels."""
    kind: str = ""
    """The kind of finding that this is."""
    header: Header | None = None
    size: tuple[int, int] = (0, 0)
    """(height, width), upright."""
    bits: int = 8
    """8 or 16 of each label."""
    labels: tuple[Parts, ...] = ()
    border: int = 0
    """Pixels with another label at their right or below."""
    between: int = 0
    """Pixels whose label lies between those at their left and right, or above and below."""
    wrong: tuple[int, int, int] | None = None
    """Row, column and label of the first pixel that is of no class and not ignored."""

    @property
    def is_smoothed(self) -> bool:
        """Whether the mask was scaled or smoothed as a photo is: borders run through the labels in between."""
        return self.between > SMOOTHED * self.border


@dataclass(frozen=True)
class Inspection:
    """Of one sample."""

    image: ImageFacts
    mask: MaskFacts | None


def inspect(sample: Sample, dataset: DataSet) -> Inspection:
    """Read both files of `sample`, which may be of any kind and in any state.

    Args:
        dataset: As it is in the files, not regrouped.
    """
    image = _image(sample.image)
    return Inspection(image, None if sample.mask is None else _mask(sample.mask, dataset, image.size))


def raw_labels(mask: Part, dataset: DataSet, size: tuple[int, int]) -> Labels:
    """The labels of a mask, (H, W), unchecked: the one place here that reads them.

    Args:
        size: (height, width) of the image, by which a drawing goes that does not know its own.

    Raises:
        DeepLabError: As `read_labels`.
    """
    if isinstance(mask, Drawing):
        return mask.read(mask.size or size)
    return read_labels(mask, palette=dataset.palette)


def is_ignored(label: int, *, num_classes: int, bits: int) -> bool:
    """Whether the pixels of this label do not count, as `load_sample` has it."""
    return label == 2**bits - 1 or (num_classes <= 255 and label == 255)


def _image(path: File) -> ImageFacts:
    try:
        header, small = read_small(path, (SIDE, SIDE))
    except DeepLabError as error:
        return ImageFacts(problem=_reason(error, path))
    blank = bool((small == small[0, 0]).all())
    return ImageFacts(
        header=header,
        size=header.size[::-1] if header.orientation > 4 else header.size,
        grey=bool((small.max(axis=-1) - small.min(axis=-1)).max() <= GREY),
        blank=blank,
        fingerprint="" if blank else fingerprint(small),
        pictures=number_of_pictures(path),
    )


def _mask(path: Part, dataset: DataSet, size: tuple[int, int]) -> MaskFacts:
    header = None
    try:
        header = None if isinstance(path, Drawing) else read_header(path)
        labels = raw_labels(path, dataset, size)
    except DeepLabError as error:
        kind, problem = _why_no_labels(path, header, dataset)
        return MaskFacts(problem=problem or _reason(error, path), kind=kind, header=header)
    bits = 8 * labels.dtype.itemsize
    map = measure(labels)
    num_classes = len(dataset.classes)
    wrong = [
        label
        for label in map.labels.tolist()
        if label >= num_classes and not is_ignored(label, num_classes=num_classes, bits=bits)
    ]
    parts = zip(*(values.tolist() for values in map[:4]), strict=True)
    return MaskFacts(
        header=header,
        size=(labels.shape[0], labels.shape[1]),
        bits=bits,
        labels=tuple(Parts(label, pixels, _cut(number), _cut(areas)) for label, pixels, number, areas in parts),
        border=map.border,
        between=map.between,
        wrong=_first(labels, wrong) if wrong else None,
    )


def _why_no_labels(path: Part, header: Header | None, dataset: DataSet) -> tuple[str, str]:
    """The kind of finding, and the problem where we know more of it than that it occurred."""
    if isinstance(path, Drawing):
        return "mask-unreadable", ""
    try:
        pixels = read_image(path)
    except DeepLabError:
        pixels = None
    if header is None or (pixels is None and not header.mode.startswith("I")):
        return "mask-unreadable", ""
    if header.lossy:
        return "mask-lossy", f"{header.format}, which changes labels along borders"
    if header.mode == "RGB" and pixels is not None:
        return "mask-colours", _odd_colors(pixels, dataset)
    return "mask-kind", ""


def _odd_colors(pixels: NDArray[np.uint8], dataset: DataSet) -> str:
    """Which colours of a mask, (H, W, 3), are no class's."""
    colors, counts = np.unique(pixels.reshape(-1, 3), axis=0, return_counts=True)
    listed = set(map(tuple, dataset.palette.tolist()))
    odd = [index for index, color in enumerate(colors.tolist()) if tuple(color) not in listed]
    odd.sort(key=lambda index: -counts[index])
    some = ", ".join(" ".join(map(str, colors[index].tolist())) for index in odd[:4])
    more = f" and {len(odd) - 4} more" if len(odd) > 4 else ""
    share = counts[odd].sum() / counts.sum()
    return f"{share:.1%} of the pixels are of no class's colour: {some}{more}"


def _first(labels: Labels, wrong: list[int]) -> tuple[int, int, int]:
    row, column = np.argwhere(np.isin(labels, wrong))[0].tolist()
    return row, column, int(labels[row, column])


def _cut(octaves: list[int]) -> tuple[int, ...]:
    """Without the zeros at the end."""
    while octaves and not octaves[-1]:
        octaves.pop()
    return tuple(octaves)


def _reason(error: DeepLabError, path: Part) -> str:
    """An error's text without the path before it and the way out behind it, which the finding says."""
    text = str(error).removeprefix(f"{path}: ")
    text = text.rpartition("; ")[0] or text
    return text.removeprefix("cannot be read (").removesuffix(")") if text.startswith("cannot be read (") else text
