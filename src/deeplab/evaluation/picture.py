"""The pictures that networks are compared and timed on: those of a folder or a data set, or examples."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeplab.data import is_dataset, load_sample, open_dataset, regroup
from deeplab.errors import InputNotFoundError, SettingsError
from deeplab.files import expand_inputs
from deeplab.images import IMAGE_SUFFIXES, read_image

__all__ = ["Picture", "example_picture", "pictures"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Picture:
    """uint8 (H, W, 3) RGB, and where there is one its mask (H, W)."""

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8 | np.uint16] | None = None
    ignore_index: int = 255


def pictures(
    data: Path | None,
    *,
    split: str | None,
    limit: int,
    format: str | None = None,
    classes: tuple[str, ...] | None = None,
    wanted: Sequence[str] | None = None,
) -> list[Picture]:
    """What an exported network is compared on: the images of a folder or of a data set.

    Args:
        data: None: a photo of matplotlib, where that is installed, and made-up pictures of odd sizes.
        split: Of the data set; None: train, or the first that has images where it has none.
        limit: Images at most.
        format: Of the data set; None: as it looks.
        classes: Of the model; a data set's masks count if they have these classes. None: no masks are wanted.
        wanted: How the classes of the data set become those, as `regroup` takes it; None: they are those.

    Raises:
        DataError: The data set is not in order.
        ImageError: A file cannot be read.
        InputNotFoundError: There is no such folder, or it is a file.
    """
    if data is None:
        return [Picture(image) for image in _examples()][:limit]
    if data.is_file():
        raise InputNotFoundError(f"{data}: a file; name a folder of images, or that of a data set")
    photos = data.is_dir() and any(file.suffix.lower() in IMAGE_SUFFIXES for file in data.iterdir())
    if photos and not is_dataset(data):  # beside the folders of a data set may lie a picture of it
        return [Picture(read_image(path)) for path in expand_inputs([data], suffixes=IMAGE_SUFFIXES)[:limit]]
    dataset = open_dataset(data, format=format, flag="--data-format")
    if split is None:
        split = next((name for name in ("train", *dataset.splits) if dataset.splits.get(name)), "train")
    samples = dataset.split(split)[:limit]
    if wanted is not None:
        with suppress(SettingsError):  # classes that it does not have: then it may be of the new ones already
            dataset = regroup(dataset, wanted)
    masked = classes is not None and all(sample.mask is not None for sample in samples)
    if masked and dataset.classes != classes:
        logger.warning("the masks of %s are not compared: their classes are not those of the model", data)
    if not masked or dataset.classes != classes:
        return [Picture(read_image(sample.image)) for sample in samples]
    loaded = (load_sample(sample, dataset) for sample in samples)
    return [Picture(image, mask, dataset.ignore_index) for image, mask in loaded]


def example_picture() -> NDArray[np.uint8]:
    """A photo of matplotlib, where that is installed, or a made-up picture: uint8 (H, W, 3) RGB."""
    return next(_examples())


def _examples() -> Iterator[NDArray[np.uint8]]:
    yield from _photos()
    yield from _made_up()


def _photos() -> Iterator[NDArray[np.uint8]]:
    found = find_spec("matplotlib")
    if found is not None and found.origin is not None:
        photo = Path(found.origin).parent / "mpl-data" / "sample_data" / "grace_hopper.jpg"
        if photo.is_file():  # some systems pack it apart
            yield read_image(photo)


def _made_up() -> Iterator[NDArray[np.uint8]]:
    """Smooth colours with noise."""
    for seed, (height, width) in enumerate(((301, 402), (257, 513))):
        generator = np.random.default_rng(seed)
        rows, columns = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j][..., np.newaxis]
        smooth = 128 + 100 * np.sin(9 * generator.random(3) * rows + 9 * generator.random(3) * columns)
        yield np.clip(smooth + generator.normal(0, 20, (height, width, 3)), 0, 255).astype(np.uint8)
