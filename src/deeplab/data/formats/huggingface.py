"""A data set of Hugging Face's `datasets` on disk: what `save_to_disk` writes, or the Parquet files of a repository.

dataset_dict.json with a folder for each split, or one folder with state.json, which is all train; SPLIT-*.parquet in
`data` or beside. One column holds images, another masks of class indices, 255 ignored. Such a data set does not say
what its classes are: they are read from id2label.json, {"0": "road", ...}, or classes.txt in the same folder.
Arrow files are mapped into memory; of Parquet files each image decodes its group of rows, which takes longer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from deeplab._optional import require
from deeplab.data.dataset import DataSet
from deeplab.data.formats._listing import find_class_list, named_splits, read_json, well_formed
from deeplab.data.sample import Sample
from deeplab.errors import DataError

__all__ = ["LAYOUT", "detect", "read"]

LAYOUT = "dataset_dict.json and train/*.arrow, or data/train-*.parquet, and id2label.json or classes.txt"

EXTRA = "arrow"

IMAGES = ("image", "img", "pixel_values")
MASKS = ("label", "labels", "mask", "annotation", "segmentation", "segmentation_mask", "semantic_segmentation")
"""What columns are called, to find them where there are more than one of each."""


def detect(root: Path) -> bool:
    """Whether `root` has the files that `save_to_disk` writes, or Parquet."""
    saved = (root / "dataset_dict.json").is_file() or (root / "state.json").is_file()
    return saved or any(root.glob("*.parquet")) or any(root.glob("data/*.parquet"))


def read(root: Path) -> DataSet:
    """List `root`.

    Raises:
        DataError: The classes are not said, a file is damaged, or there is no telling images from masks.
        MissingExtraError: pyarrow is not installed.
    """
    files = _files(root)
    if not any(files.values()):
        raise DataError(f"{root}: no tables; wanted {LAYOUT}")
    classes, palette, class_list = find_class_list(root)
    parts = ((name, [sample for table in tables for sample in _samples(table, name)]) for name, tables in files.items())
    return DataSet(root, classes, palette, named_splits(parts, root), class_list)


@dataclass(frozen=True)
class Cell:
    """A picture in a table."""

    file: Path
    group: int
    """The record batch of an Arrow file, the row group of a Parquet file."""
    row: int
    """Within the group."""
    column: str
    name: str

    @property
    def stem(self) -> str:
        return PurePosixPath(self.name).stem

    def read_bytes(self) -> bytes:
        value = _column(self.file, self.group, self.column)[self.row].as_py()
        if value["bytes"] is not None:
            return bytes(value["bytes"])
        beside: Path = self.file.parent / value["path"]
        return beside.read_bytes()

    def __str__(self) -> str:
        return f"{self.file}: {self.column} {self.name}"


def _files(root: Path) -> dict[str, list[Path]]:
    if (root / "dataset_dict.json").is_file():
        with well_formed(root / "dataset_dict.json"):
            names = [str(name) for name in read_json(root / "dataset_dict.json")["splits"]]
        return {name: _saved(root / name) for name in names}
    if (root / "state.json").is_file():
        return {"train": _saved(root)}
    files = defaultdict(list)
    for file in sorted([*root.glob("*.parquet"), *root.glob("data/*.parquet")]):
        files[file.stem.partition("-")[0]].append(file)
    return files


def _saved(folder: Path) -> list[Path]:
    with well_formed(folder / "state.json"):
        return [folder / part["filename"] for part in read_json(folder / "state.json")["_data_files"]]


def _samples(file: Path, part: str) -> Iterator[Sample]:
    """Those of a table, in its order; a row without a mask is unlabelled."""
    with well_formed(file):
        image, mask = _picture_columns(file)
        number = 0
        for group in range(_group_count(file)):
            names = _names(file, group, image)
            masks = _names(file, group, mask) if mask is not None else [None] * len(names)
            for row, name in enumerate(names):
                name = name or f"{part}_{number:06d}"
                labels = Cell(file, group, row, mask, name) if mask is not None and masks[row] is not None else None
                yield Sample(Cell(file, group, row, image, name), labels)
                number += 1


def _picture_columns(file: Path) -> tuple[str, str | None]:
    """The columns of the images and, where there are some, of the masks."""
    schema = _parquet(file).schema_arrow if _is_parquet(file) else _stream(file).schema
    types = require("pyarrow", extra=EXTRA).types
    pictures = [
        field.name
        for field in schema
        if types.is_struct(field.type) and {"bytes", "path"} <= {part.name for part in field.type}
    ]
    image = next((name for name in pictures if name in IMAGES), pictures[0] if pictures else None)
    others = [name for name in pictures if name != image]
    masks = others if len(others) < 2 else [name for name in others if name in MASKS]
    if image is None or len(masks) > 1 or (others and not masks):
        raise DataError(
            f"{file}: no telling images from masks in the columns {', '.join(schema.names)}; "
            "keep two of pictures, such as image and label"
        )
    return image, masks[0] if masks else None


def _names(file: Path, group: int, column: str) -> list[str | None]:
    """What each picture of a column is called, empty where it is not said; None where there is no picture."""
    if _is_parquet(file):
        cells = _parquet(file).read_row_group(group, columns=[f"{column}.path"]).column(0).to_pylist()
        paths = [None if cell is None else cell["path"] or "" for cell in cells]
    else:
        pictures = _batches(file)[group].column(column)
        pairs = zip(pictures.field("path").to_pylist(), pictures.is_valid().to_pylist(), strict=True)
        paths = [path or "" if there else None for path, there in pairs]
    return [None if path is None else PurePosixPath(path.replace("\\", "/")).name for path in paths]


def _group_count(file: Path) -> int:
    return int(_parquet(file).num_row_groups) if _is_parquet(file) else len(_batches(file))


@lru_cache(maxsize=4)  # a row group is decoded as a whole
def _column(file: Path, group: int, column: str) -> Any:
    if _is_parquet(file):
        return _parquet(file).read_row_group(group, columns=[column]).column(0)
    return _batches(file)[group].column(column)


@lru_cache(maxsize=256)
def _batches(file: Path) -> Any:
    return _stream(file).read_all().to_batches()


def _stream(file: Path) -> Any:
    """A reader of an Arrow file, mapped into memory."""
    return require("pyarrow.ipc", extra=EXTRA).open_stream(require("pyarrow", extra=EXTRA).memory_map(str(file)))


def _parquet(file: Path) -> Any:
    return require("pyarrow.parquet", extra=EXTRA).ParquetFile(file, memory_map=True)


def _is_parquet(file: Path) -> bool:
    return file.suffix == ".parquet"
