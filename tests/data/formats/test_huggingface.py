from __future__ import annotations

import importlib
import json

import pytest

from deeplab.data import load_sample, open_dataset
from deeplab.errors import DataError, ImageError, MissingExtraError


@pytest.fixture
def arrow():
    return pytest.importorskip("pyarrow", reason="needs the extra [arrow]")


@pytest.fixture
def rewrite(make, arrow):
    """`rewrite(function)`: the Parquet data set with what the function makes of its training table."""
    from pyarrow import parquet

    root = make("huggingface in parquet").root
    file = root / "data/train-00000-of-00001.parquet"

    def apply(function):
        parquet.write_table(function(parquet.read_table(file)), file)
        return open_dataset(root)

    apply.folder = file.parent
    return apply


def with_pictures(table, column, pictures):
    import pyarrow

    field = table.schema.field(column)
    return table.set_column(table.schema.get_field_index(column), field, pyarrow.array(pictures, field.type))


def test_pictures_have_the_names_of_their_files_or_numbers(rewrite):
    def without_names(table):
        pictures = [{**picture, "path": None} for picture in table["image"].to_pylist()]
        return with_pictures(table, "image", pictures)

    assert [sample.image.stem for sample in rewrite(lambda table: table).split("train")] == ["a", "b"]
    names = [sample.image.name for sample in rewrite(without_names).split("train")]
    assert names == ["train_000000", "train_000001"]


def test_a_picture_may_lie_in_a_file_of_its_own(rewrite, tmp_path):
    def outside(table):
        pictures = table["image"].to_pylist()
        for number, picture in enumerate(pictures):
            (tmp_path / f"{number}.png").write_bytes(picture["bytes"])
        pictures = [{"bytes": None, "path": str(tmp_path / f"{number}.png")} for number in range(len(pictures))]
        return with_pictures(table, "image", pictures)

    dataset = rewrite(outside)
    assert load_sample(dataset.split("train")[1], dataset)[0].shape == (6, 8, 3)
    (tmp_path / "1.png").unlink()
    with pytest.raises(ImageError, match=r"parquet: image 1\.png: cannot be read \(.*No such file"):
        load_sample(dataset.split("train")[1], dataset)


def test_a_file_of_its_own_is_looked_for_beside_the_table(rewrite, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def outside(table):
        pictures = table["image"].to_pylist()
        for number, picture in enumerate(pictures):
            (rewrite.folder / f"{number}.png").write_bytes(picture["bytes"])
        pictures = [{"bytes": None, "path": f"{number}.png"} for number in range(len(pictures))]
        return with_pictures(table, "image", pictures)

    dataset = rewrite(outside)
    assert load_sample(dataset.split("train")[1], dataset)[0].shape == (6, 8, 3)


def test_rows_without_a_mask_are_unlabelled(rewrite):
    def first_only(table):
        masks = [table["label"].to_pylist()[0], None]
        return with_pictures(table, "label", masks)

    assert [sample.mask is None for sample in rewrite(first_only).split("train")] == [False, True]
    dataset = rewrite(lambda table: table.drop_columns("label"))
    assert [sample.mask for sample in dataset.split("train")] == [None, None]


def test_of_several_masks_the_one_with_a_usual_name_is_read(rewrite):
    dataset = rewrite(lambda table: table.append_column("depth", table["label"]))
    assert {sample.mask.column for sample in dataset.split("train")} == {"label"}
    with pytest.raises(DataError, match="no telling images from masks in the columns id, image, label, depth, mask"):
        rewrite(lambda table: table.append_column("mask", table["label"]))
    with pytest.raises(DataError, match="no telling images from masks in the columns id"):
        rewrite(lambda table: table.select(["id"]))


def test_one_saved_part_is_all_for_training(make, arrow):
    root = make("huggingface").root
    (root / "id2label.json").rename(root / "train/id2label.json")
    splits = open_dataset(root / "train").splits
    assert {name: len(samples) for name, samples in splits.items()} == {"train": 2}


@pytest.mark.parametrize("name", ["huggingface", "huggingface in parquet"])
def test_a_damaged_table_is_named(make, arrow, name):
    root = make(name).root
    file = next(path for path in root.rglob("*") if path.suffix in (".arrow", ".parquet"))
    file.write_bytes(file.read_bytes()[:30])
    with pytest.raises(DataError, match=rf"{file.name}: .*export or fetch it again") as caught:
        open_dataset(root)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, r"classes\.txt: no such file; write one class a line"),
        ({"0": "a", "2": "b"}, r'wanted {"0": "road", "1": \.\.\.} with every number'),
        ({"0": "a", "1": "a"}, r"label\.json: id 1: class 'a' occurs twice"),
        ({"zero": "a"}, "invalid literal"),
    ],
)
def test_the_classes_have_to_be_said(tmp_path, content, problem):
    (tmp_path / "train-00000.parquet").write_bytes(b"")
    if content is not None:
        (tmp_path / "id2label.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=problem):
        open_dataset(tmp_path)


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    (tmp_path / "train-00000.parquet").write_bytes(b"")
    (tmp_path / "classes.txt").write_text("a\nb\n")
    found = importlib.import_module

    def without(name):
        if name.partition(".")[0] == "pyarrow":
            raise ModuleNotFoundError("No module named 'pyarrow'", name="pyarrow")
        return found(name)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(MissingExtraError, match=r"pyarrow is not installed; run: pip install 'deeplab\[arrow\]'"):
        open_dataset(tmp_path)
