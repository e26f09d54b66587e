"""A tiny data set in each format: three pictures, the same regions on them, in two splits.

A new format needs one entry of `MAKERS` here, and every test that takes `made` runs on it.
"""

from __future__ import annotations

import importlib
import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

SIZE = (6, 8)
SPLITS = {"train": ("a", "b"), "val": ("c",)}
IGNORED = 255
PHOTO = np.full((*SIZE, 3), 100, np.uint8)

REGIONS = {
    "a": ((1, (1, 1, 4, 5)), (2, (3, 4, 6, 8)), (IGNORED, (5, 0, 6, 3))),
    "b": ((2, (0, 0, 2, 8)), (1, (1, 2, 5, 4))),
    "c": ((1, (0, 6, 6, 8)),),
}
"""By picture, from the bottom to the top: 1, 2 or IGNORED in the rectangle (top, left, bottom, right); else 0."""


@dataclass(frozen=True)
class Made:
    """What a maker wrote."""

    names: tuple[str, str, str]
    """The classes that the numbers 0, 1 and 2 of `REGIONS` stand for."""
    ignored: int = IGNORED
    """What IGNORED stands for: itself, or one of those numbers where the format ignores nothing."""
    root: Path = field(default=Path())
    format: str = ""

    def truth(self, stem: str, classes: tuple[str, ...]) -> NDArray[Any]:
        """The labels of a picture, (H, W)."""
        labels = [classes.index(name) for name in self.names]
        values = {**dict(enumerate(labels)), IGNORED: IGNORED if self.ignored == IGNORED else labels[self.ignored]}
        return painted(stem, values)


def painted(stem: str, values: Any, dtype: Any = np.uint8) -> NDArray[Any]:
    """The regions of a picture, each in its value: a number, or a colour."""
    picture = np.empty((*SIZE, *np.shape(values[0])), dtype)
    picture[:] = values[0]
    for number, (top, left, bottom, right) in REGIONS[stem]:
        picture[top:bottom, left:right] = values[number]
    return picture


def save(path: Path, array: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def save_photo(path: Path) -> None:
    save(path, PHOTO)


def corners(rectangle: tuple[int, int, int, int]) -> list[float]:
    """A rectangle as x and y of its corners, one after the other."""
    top, left, bottom, right = rectangle
    return [left, top, right, top, right, bottom, left, bottom]


def pairs(root: Path, photo: str, mask: str, values: dict[int, Any], **splits: str) -> None:
    """A photo and a mask by the patterns' {split} and {stem}; `splits` are what the format calls ours."""
    for split, stems in SPLITS.items():
        for stem in stems:
            names = {"split": splits.get(split, split), "stem": stem}
            save_photo(root / photo.format(**names))
            save(root / mask.format(**names), painted(stem, values))


def make_folder(root: Path) -> Made:
    pairs(root, "{split}/images/{stem}.jpg", "{split}/masks/{stem}.png", {0: 0, 1: 1, 2: 2, IGNORED: 255})
    (root / "classes.txt").write_text("sky\nroad\ntree 1 2 3\n", encoding="utf-8")
    return Made(("sky", "road", "tree"))


def make_voc(root: Path) -> Made:
    pairs(root, "JPEGImages/{stem}.jpg", "SegmentationClass/{stem}.png", {0: 0, 1: 1, 2: 15, IGNORED: 255})
    for split, stems in SPLITS.items():
        file = root / "ImageSets/Segmentation" / f"{split}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"{stem}\n" for stem in stems))
    return Made(("background", "aeroplane", "person"))


def make_voc_in_colors(root: Path) -> Made:
    """As CVAT exports it."""
    make_voc(root)
    colors = {0: (0, 0, 0), 1: (50, 0, 200), 2: (7, 8, 9), IGNORED: (224, 224, 192)}
    for stem in REGIONS:
        save(root / "SegmentationClass" / f"{stem}.png", painted(stem, colors))
    (root / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\nlow road:50,0,200::\ntree:7,8,9::\n"
    )
    return Made(("background", "low road", "tree"))


def make_cityscapes(root: Path) -> Made:
    city = "{split}/aachen/{stem}_000000_000019"
    pairs(
        root,
        f"leftImg8bit/{city}_leftImg8bit.png",
        f"gtFine/{city}_gtFine_labelIds.png",
        {0: 7, 1: 26, 2: 33, IGNORED: 4},
    )
    return Made(("road", "car", "bicycle"))


def make_cityscapes_of_train_ids(root: Path) -> Made:
    city = "{split}/aachen/{stem}_000000_000019"
    pairs(
        root,
        f"leftImg8bit/{city}_leftImg8bit.png",
        f"gtFine/{city}_gtFine_labelTrainIds.png",
        {0: 0, 1: 13, 2: 18, IGNORED: 255},
    )
    return Made(("road", "car", "bicycle"))


def make_ade20k(root: Path) -> Made:
    names = {"train": "training", "val": "validation"}
    values = {0: 1, 1: 3, 2: 150, IGNORED: 0}
    pairs(root, "images/{split}/{stem}.jpg", "annotations/{split}/{stem}.png", values, **names)
    return Made(("wall", "sky", "flag"))


def make_coco_stuff(root: Path) -> Made:
    names = {"train": "train2017", "val": "val2017"}
    values = {0: 181, 1: 0, 2: 91, IGNORED: 255}
    pairs(root, "images/{split}/{stem}.jpg", "annotations/{split}/{stem}.png", values, **names)
    return Made(("wood", "person", "banner"))


def make_camvid(root: Path) -> Made:
    """As SegNet has it."""
    pairs(root, "{split}/{stem}.png", "{split}annot/{stem}.png", {0: 3, 1: 0, 2: 10, IGNORED: 11})
    return Made(("Road", "Sky", "Bicyclist"))


def make_camvid_in_colors(root: Path) -> Made:
    values = {0: (128, 0, 192), 1: (128, 128, 128), 2: (192, 0, 192), IGNORED: (0, 0, 0)}
    pairs(root, "{split}/{stem}.png", "{split}_labels/{stem}_L.png", values)
    return Made(("Road", "Sky", "Bicyclist"))


def make_vistas(root: Path, config: str, labels: str) -> Made:
    names = {"train": "training", "val": "validation"}
    entries = [("Bird", True), ("Road", True), ("Unlabeled", False), ("Wheeled Slow", True)]
    labelled = [
        {"readable": name, "name": f"kind--{name}", "color": [index, 2, 3], "evaluate": evaluate}
        for index, (name, evaluate) in enumerate(entries)
    ]
    pairs(
        root, "{split}/images/{stem}.jpg", f"{{split}}/{labels}/{{stem}}.png", {0: 1, 1: 0, 2: 3, IGNORED: 2}, **names
    )
    (root / config).write_text(json.dumps({"labels": labelled, "version": "1"}))
    return Made(("Road", "Bird", "Wheeled Slow"))


def make_coco(root: Path) -> Made:
    categories = [{"id": 7, "name": "cat"}, {"id": 3, "name": "table"}]
    for split, stems in SPLITS.items():
        images, annotations = [], []
        for number, stem in enumerate(stems, start=10):
            save_photo(root / f"images/{split}2017/{stem}.jpg")
            images.append({"id": number, "file_name": f"{stem}.jpg", "height": SIZE[0], "width": SIZE[1]})
            for label, rectangle in REGIONS[stem]:
                if label == IGNORED:
                    continue
                inside = painted_rectangle(rectangle)
                category, shape = (3, [corners(rectangle)]) if label == 1 else (7, run_lengths(inside))
                annotations.append(
                    {
                        "id": len(annotations),
                        "image_id": number,
                        "category_id": category,
                        "segmentation": shape,
                        "area": int(inside.sum()),
                        "iscrowd": 0,
                    }
                )
        file = root / f"annotations/instances_{split}2017.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return Made(("background", "table", "cat"), ignored=0)


def painted_rectangle(rectangle: tuple[int, int, int, int]) -> NDArray[np.bool_]:
    top, left, bottom, right = rectangle
    rows, columns = np.indices(SIZE)
    return (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)


def run_lengths(inside: NDArray[np.bool_]) -> dict[str, Any]:
    """As COCO counts them: down the columns, beginning outside."""
    flat = inside.T.ravel()
    changes = np.flatnonzero(np.diff(flat, prepend=False))
    return {"size": list(inside.shape), "counts": np.diff([0, *changes, flat.size]).tolist()}


def make_labelme(root: Path) -> Made:
    names = {1: "road", 2: "a cat", IGNORED: "__ignore__"}
    for split, stems in SPLITS.items():
        for stem in stems:
            save_photo(root / split / f"{stem}.jpg")
            shapes = [
                {"label": names[label], "points": np.reshape(corners(rectangle), (4, 2)).tolist(), "shape_type": kind}
                for kind, (label, rectangle) in zip(("polygon", "rectangle", None), REGIONS[stem], strict=False)
            ]
            content = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": f"..\\{split}\\{stem}.jpg"}
            size = {"imageData": None, "imageHeight": SIZE[0], "imageWidth": SIZE[1]}
            (root / split / f"{stem}.json").write_text(json.dumps({**content, **size}))
    return Made(("background", "road", "a cat"))


def make_cvat(root: Path) -> Made:
    images = []
    for split, stems in SPLITS.items():
        for stem in stems:
            save_photo(root / "images" / split.title() / f"{stem}.jpg")
            shapes = []
            for order, (label, (top, left, bottom, right)) in enumerate(REGIONS[stem]):
                common = f'label="{("", "road", "cat")[label % IGNORED]}" occluded="0" z_order="{order}"'
                if label == 1:
                    shapes.append(f'<box {common} xtl="{left}" ytl="{top}" xbr="{right}" ybr="{bottom}"></box>')
                if label == 2:
                    points = f"{left},{top};{right},{top};{right},{bottom};{left},{bottom}.00"
                    shapes.append(f'<polygon {common} points="{points}"><attribute name="old">no</attribute></polygon>')
            size = f'width="{SIZE[1]}" height="{SIZE[0]}"'
            head = f'<image id="{len(images)}" name="{stem}.jpg" subset="{split.title()}" {size}>'
            images.append(head + "".join(reversed(shapes)) + "</image>")
    labels = "".join(
        f"<label><name>{name}</name><color>#01{index}203</color><type>any</type></label>"
        for index, name in enumerate(("road", "cat"))
    )
    (root / "annotations.xml").write_text(
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n'
        f"<meta><project><labels>{labels}</labels></project></meta>{''.join(images)}</annotations>\n"
    )
    return Made(("background", "road", "cat"), ignored=0)


def png(array: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def tables(values: dict[int, int]) -> dict[str, Any]:
    """An Arrow table for each split, as `datasets` has them: pictures are bytes and a name."""
    arrow = pytest.importorskip("pyarrow", reason="needs the extra [arrow]")
    made = {}
    for split, stems in SPLITS.items():
        columns = {
            "id": list(stems),
            "image": [{"bytes": png(PHOTO), "path": f"photos/{stem}.png"} for stem in stems],
            "label": [{"bytes": png(painted(stem, values)), "path": None} for stem in stems],
        }
        picture = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
        schema = arrow.schema([("id", arrow.string()), ("image", picture), ("label", picture)])
        made[split] = arrow.table(columns, schema=schema)
    return made


def make_huggingface(root: Path) -> Made:
    """As `DatasetDict.save_to_disk` writes it; each picture is a record batch."""
    names = {"train": "train", "val": "validation"}
    for split, table in tables({0: 0, 1: 2, 2: 1, IGNORED: 255}).items():
        folder = root / names[split]
        folder.mkdir()
        with importlib.import_module("pyarrow.ipc").new_stream(
            folder / "data-00000-of-00001.arrow", table.schema
        ) as writer:
            writer.write_table(table, max_chunksize=1)
        (folder / "state.json").write_text('{"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}')
        (folder / "dataset_info.json").write_text("{}")
    (root / "dataset_dict.json").write_text('{"splits": ["train", "validation"]}')
    (root / "id2label.json").write_text('{"0": "road", "2": "tree", "1": "sky"}')
    return Made(("road", "tree", "sky"))


def make_huggingface_in_parquet(root: Path) -> Made:
    (root / "data").mkdir()
    for split, table in tables({0: 0, 1: 1, 2: 2, IGNORED: 255}).items():
        file = root / "data" / f"{'validation' if split == 'val' else split}-00000-of-00001.parquet"
        importlib.import_module("pyarrow.parquet").write_table(table, file, row_group_size=1)
    (root / "classes.txt").write_text("road\nsky\ntree 1 2 3\n")
    return Made(("road", "sky", "tree"))


def make_webdataset(root: Path) -> Made:
    for split, stems in SPLITS.items():
        with tarfile.open(root / f"{split}-000000.tar", "w") as file:
            for stem in stems:
                mask = png(painted(stem, {0: 0, 1: 1, 2: 2, IGNORED: 255}))
                for ending, content in (("json", b"{}"), ("png", png(PHOTO)), ("seg.png", mask)):
                    header = tarfile.TarInfo(f"photos/{stem}.{ending}")
                    header.size = len(content)
                    file.addfile(header, io.BytesIO(content))
    (root / "classes.txt").write_text("road\nsky\ntree\n")
    return Made(("road", "sky", "tree"))


MAKERS: dict[str, Callable[[Path], Made]] = {
    "folder": make_folder,
    "voc": make_voc,
    "voc in colours": make_voc_in_colors,
    "cityscapes": make_cityscapes,
    "cityscapes of train ids": make_cityscapes_of_train_ids,
    "ade20k": make_ade20k,
    "coco_stuff": make_coco_stuff,
    "camvid": make_camvid,
    "camvid in colours": make_camvid_in_colors,
    "coco": make_coco,
    "labelme": make_labelme,
    "cvat": make_cvat,
    "huggingface": make_huggingface,
    "huggingface in parquet": make_huggingface_in_parquet,
    "webdataset": make_webdataset,
    "vistas_v1": lambda root: make_vistas(root, "config.json", "labels"),
    "vistas_v2": lambda root: make_vistas(root, "config_v2.0.json", "v2.0/labels"),
}
"""By the name of the format and, behind it, what is special."""


@pytest.fixture
def make(tmp_path: Path) -> Callable[[str], Made]:
    """`make(name)` writes that data set."""

    def make_one(name: str) -> Made:
        root = tmp_path / name.replace(" ", "_")
        root.mkdir()
        made = MAKERS[name](root)
        return Made(made.names, made.ignored, root, name.partition(" ")[0])

    return make_one


@pytest.fixture(params=MAKERS)
def made(request: pytest.FixtureRequest, make: Callable[[str], Made]) -> Made:
    """Each data set in turn."""
    return make(request.param)


@pytest.fixture(scope="session")
def formats_made() -> set[str]:
    """The formats that there is a data set of."""
    return {name.partition(" ")[0] for name in MAKERS}
