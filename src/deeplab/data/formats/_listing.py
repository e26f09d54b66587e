"""What the formats share: files by stem, images with their masks, lists of names; a mistake is one line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from deeplab._words import number_of
from deeplab.data.sample import Sample
from deeplab.errors import DataError, DeepLabError
from deeplab.images import IMAGE_SUFFIXES, color_map

__all__ = [
    "by_stem",
    "find_class_list",
    "find_image",
    "folders_in",
    "has_folder",
    "images_in",
    "named_splits",
    "only_once",
    "paired",
    "paired_folders",
    "peek",
    "read_class_list",
    "read_json",
    "read_lines",
    "read_text",
    "refuse",
    "split_name",
    "well_formed",
]

SPLIT_NAMES = {"training": "train", "default": "train", "validation": "val", "valid": "val", "testing": "test"}


def split_name(name: str) -> str:
    """What we call a part of a data set: Training, train2017 and CVAT's default are train, valid is val."""
    plain = re.sub(r"[-_]?(19|20)\d\d$", "", name.lower())
    return SPLIT_NAMES.get(plain, plain)


def named_splits(parts: Iterable[tuple[str, Sequence[Sample]]], root: Path) -> dict[str, tuple[Sample, ...]]:
    """The parts of a data set under our names. Raises DataError where two would have the same."""
    splits: dict[str, tuple[Sample, ...]] = {}
    theirs: dict[str, str] = {}
    for name, samples in parts:
        ours = split_name(name)
        if ours in splits:
            raise DataError(f"{root}: {theirs[ours]} and {name} would both be the split {ours}; rename or remove one")
        splits[ours], theirs[ours] = tuple(samples), name
    return splits


def has_folder(root: Path, *patterns: str) -> bool:
    """Whether any of the patterns is a folder below `root`."""
    return any(path.is_dir() for pattern in patterns for path in root.glob(pattern))


def folders_in(folder: Path) -> list[Path]:
    """Its sub-folders, sorted, without hidden ones; none where it does not exist."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def images_in(folder: Path, pattern: str = "*") -> list[Path]:
    """The image files that match the pattern, sorted, without hidden ones; capitals in suffixes do not matter."""
    return sorted(
        file for file in folder.glob(pattern) if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".")
    )


def by_stem(files: Iterable[Path], *, ending: str = "", below: Path | None = None) -> dict[str, Path]:
    """Those files whose stem has this ending, by the stem without it. Raises DataError where two have the same.

    Args:
        below: A folder; the folders between it and a file are part of the stem, as in "city/0042".
    """
    found: dict[str, Path] = {}
    for file in files:
        if not file.stem.endswith(ending):
            continue
        stem = (file.stem if below is None else file.relative_to(below).with_suffix("").as_posix()).removesuffix(ending)
        if stem in found:
            raise DataError(f"{file.parent}: {found[stem].name} and {file.name} have the same stem; keep or rename one")
        found[stem] = file
    return found


def paired(
    images: Mapping[str, Path], masks: Mapping[str, Path], *, folders: tuple[Path, Path], ending: str = ""
) -> tuple[Sample, ...]:
    """Each image with the mask of its stem; without a folder of masks all are unlabelled.

    Args:
        folders: Where the images and the masks lie.
        ending: What the stem of a mask has beyond that of its image.

    Raises:
        DataError: An image without a mask, or a mask without an image.
    """
    image_folder, mask_folder = folders
    if not mask_folder.is_dir():
        return tuple(map(Sample, images.values()))
    way_out = f"put them as <stem>{ending}.png into {mask_folder}"
    no_mask, no_image = ("image has no mask", "images have no mask"), ("mask has no image", "masks have no image")
    refuse(images.keys() - masks.keys(), no_mask, way_out, image_folder.parent)
    refuse(masks.keys() - images.keys(), no_image, f"put them into {image_folder}", mask_folder.parent)
    return tuple(Sample(image, masks[stem]) for stem, image in images.items())


def paired_folders(images: Path, masks: Path, *, ending: str = "") -> tuple[Sample, ...]:
    """As `paired`, all images of one folder with the masks of another. Raises DataError, also for equal stems."""
    found = by_stem(images_in(images)), by_stem(images_in(masks), ending=ending)
    return paired(*found, folders=(images, masks), ending=ending)


def refuse(names: Iterable[str], problem: tuple[str, str], way_out: str, where: Path) -> None:
    """Raise DataError with the first few of the names, if there are any; `problem` is told of one and of more."""
    if names := sorted(names):
        some = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        raise DataError(f"{where}: {number_of(len(names), *problem)} ({some}); {way_out}")


def find_image(name: str, folders: Sequence[Path], *, source: object) -> Path:
    """The image that `source` calls `name`, in the first folder that has it; the folders in `name` may be missing.

    Raises:
        DataError: None has it.
    """
    plain = name.replace("\\", "/")
    for each in dict.fromkeys((plain, plain.rpartition("/")[2])):
        for folder in folders:
            if (path := folder / each).is_file():
                return path
    places = " or ".join(map(str, dict.fromkeys(folders)))
    raise DataError(f"{source}: no image '{name}'; put it into {places}")


def read_text(file: Path) -> str:
    """The text of a UTF-8 file, with or without a byte order mark. Raises DataError."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: byte {error.start} is not UTF-8; save it as UTF-8") from error
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}); see that it is there and open to you") from error


def read_lines(file: Path) -> list[tuple[int, str]]:
    """The lines that are not blank with their numbers, whatever ends them; DataError where there are none."""
    lines = [(number, line.strip()) for number, line in enumerate(read_text(file).splitlines(), start=1)]
    if not any(line for _, line in lines):
        raise DataError(f"{file}: empty; write one entry a line")
    return [(number, line) for number, line in lines if line]


def read_json(file: Path) -> dict[str, Any]:
    """A JSON file that holds an object. Raises DataError."""
    try:
        values = json.loads(read_text(file))
    except json.JSONDecodeError as error:
        raise DataError(f"{file}: line {error.lineno} is not JSON ({error.msg}); save or fetch it again") from error
    if not isinstance(values, dict):
        raise DataError(f"{file}: wanted a JSON object, came a {type(values).__name__}; see docs/data.md")
    return values


def peek(file: Path, length: int = 4096) -> str:
    """How the file begins, so many bytes, without what is not UTF-8 in it; nothing where it cannot be read."""
    try:
        with file.open("rb") as stream:
            return stream.read(length).decode(errors="ignore")
    except OSError:
        return ""


@contextmanager
def well_formed(what: object) -> Iterator[None]:
    """Turn what goes wrong with values that are missing or of another kind into a DataError about `what`."""
    try:
        yield
    except DeepLabError:
        raise
    except (AttributeError, IndexError, KeyError, OSError, OverflowError, TypeError, ValueError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise DataError(f"{what}: {reason}; export or fetch it again") from error


def read_class_list(file: Path) -> tuple[tuple[str, ...], NDArray[np.uint8]]:
    """Names and colours from a `classes.txt`, one class a line: `name` or `name R G B`. Raises DataError."""
    if not file.is_file():
        raise DataError(f"{file}: no such file; write one class a line in order of index, `name` or `name R G B`")
    lines = _without_numbers(read_lines(file))
    palette = color_map(len(lines)).copy()
    names = []
    colored: dict[tuple[int, ...], int] = {}
    for index, (number, line) in enumerate(lines):
        name, color = _split_color(line.split())
        names.append((number, name))
        if color is None:
            continue
        shown = " ".join(map(str, color))
        if max(color) > 255:
            raise DataError(f"{file}: line {number}: colour {shown} is outside 0..255")
        if color in colored:
            raise DataError(
                f"{file}: lines {colored[color]} and {number} both have the colour {shown}; "
                "give each class its own, or leave the colours out"
            )
        palette[index], colored[color] = color, number
    return only_once(names, file), palette


def find_class_list(root: Path) -> tuple[tuple[str, ...], NDArray[np.uint8], Path]:
    """Names and colours from the `classes.txt` or `id2label.json` of a data set, and that file. Raises DataError."""
    if (file := root / "id2label.json").is_file():
        with well_formed(file):
            names = {int(number): str(name) for number, name in read_json(file).items()}
        if not names or sorted(names) != list(range(len(names))):
            raise DataError(f'{file}: wanted {{"0": "road", "1": ...}} with every number up to the last')
        return only_once(sorted(names.items()), file, of="id"), color_map(len(names)), file
    return *read_class_list(root / "classes.txt"), root / "classes.txt"


def only_once(names: Iterable[tuple[int, str]], file: Path, *, of: Literal["line", "id"] = "line") -> tuple[str, ...]:
    """The names, each given with the number of its line or its id. Raises DataError where one occurs again."""
    seen: dict[str, int] = {}
    for number, name in names:
        if name in seen:
            raise DataError(f"{file}: {of} {number}: class '{name}' occurs twice; give each class its own name")
        seen[name] = number
    return tuple(seen)


def _without_numbers(lines: Sequence[tuple[int, str]]) -> list[tuple[int, str]]:
    """Lines without the class's own number before its name, as in "0 road" or "0: road", where all have it."""
    found = [re.fullmatch(rf"{index}[\s:,]+([^\d\s].*)", line) for index, (_, line) in enumerate(lines)]
    if not all(found):
        return list(lines)
    return [(number, match[1]) for (number, _), match in zip(lines, found, strict=True) if match]


def _split_color(words: Sequence[str]) -> tuple[str, tuple[int, ...] | None]:
    """A line's name, which may hold spaces, and its colour: the last three words if they are numbers."""
    if len(words) > 3 and all(word.isdecimal() for word in words[-3:]):
        return " ".join(words[:-3]), tuple(map(int, words[-3:]))
    return " ".join(words), None
