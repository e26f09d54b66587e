"""WebDataset: tar files whose neighbouring members KEY.jpg and KEY.seg.png are an image and its mask.

SPLIT-000000.tar, ... or SPLIT/*.tar, beside classes.txt or id2label.json. The mask is the picture whose ending says so
(`MASK_ENDINGS`), or the PNG beside a picture of another kind; members that are no pictures are left alone. Only the
headers are read to list the samples; a picture is then read from its place in the file, so that samples can be drawn
in any order without unpacking. Shards are files here; those of an object storage have to be mounted or copied first.
"""

from __future__ import annotations

import re
import tarfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from deeplab.data.dataset import DataSet
from deeplab.data.formats._listing import find_class_list, split_name
from deeplab.data.sample import Sample
from deeplab.errors import DataError
from deeplab.images import IMAGE_SUFFIXES

__all__ = ["LAYOUT", "detect", "read"]

LAYOUT = "train-000000.tar of KEY.jpg and KEY.seg.png, and classes.txt or id2label.json"

MASK_ENDINGS = ("seg", "mask", "label", "labels", "annotation", "segmentation", "semantic", "gt")
"""As in KEY.seg.png."""


def detect(root: Path) -> bool:
    """Whether `root` has tar files and a list of classes."""
    has_classes = (root / "classes.txt").is_file() or (root / "id2label.json").is_file()
    return has_classes and bool(_shards(root))


def read(root: Path) -> DataSet:
    """List `root`. Raises DataError for a shard that is damaged or packed, and a key without an image of its own."""
    shards = _shards(root)
    if not shards:
        raise DataError(f"{root}: no shards; wanted {LAYOUT}")
    classes, palette, class_list = find_class_list(root)
    splits: dict[str, list[Sample]] = defaultdict(list)
    for shard in shards:
        name = shard.parent.name if shard.parent != root else re.sub(r"([-_.]?\d+[-_.]of)?[-_.]?\d*$", "", shard.stem)
        splits[split_name(name or "train")] += _samples(shard)
    return DataSet(root, classes, palette, {name: tuple(samples) for name, samples in splits.items()}, class_list)


@dataclass(frozen=True)
class Member:
    """A file within a tar file that is not packed."""

    shard: Path
    path: str
    offset: int
    """Where its bytes begin in the tar file."""
    size: int

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name

    @property
    def stem(self) -> str:
        """WebDataset's key: what stands before the first dot."""
        return self.name.partition(".")[0]

    def read_bytes(self) -> bytes:
        with self.shard.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)

    def __str__(self) -> str:
        return f"{self.shard}: {self.path}"


def _shards(root: Path) -> list[Path]:
    return sorted(file for pattern in ("*.[tT][aA][rR]", "*/*.[tT][aA][rR]") for file in root.glob(pattern))


def _samples(shard: Path) -> list[Sample]:
    pictures: dict[str, dict[str, Member]] = defaultdict(dict)
    try:
        with tarfile.open(shard, "r:") as file:
            for header in file:
                folder, slash, name = header.name.rpartition("/")
                key, _, ending = name.partition(".")
                if header.isfile() and key and PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES:
                    member = Member(shard, header.name, header.offset_data, header.size)
                    pictures[folder + slash + key][ending.lower()] = member
    except (tarfile.TarError, OSError) as error:
        raise DataError(f"{shard}: not a tar file as it is ({error}); unpack .gz, or fetch it again") from error
    return [_sample(members, f"{shard}: {key}") for key, members in pictures.items()]


def _sample(members: Mapping[str, Member], name: str) -> Sample:
    """The image and the mask among the pictures of one key, which are given by their endings."""
    masks = [ending for ending in members if ending.partition(".")[0] in MASK_ENDINGS]
    if not masks and len(members) == 2:
        masks = [ending for ending in members if ending == "png"]
    images = [ending for ending in members if ending not in masks]
    if len(images) != 1 or len(masks) > 1:
        raise DataError(f"{name}: wanted an image and a mask, as .jpg and .seg.png, came .{', .'.join(members)}")
    return Sample(members[images[0]], members[masks[0]] if masks else None)
