"""What an exported network is compared on."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from deeplab.errors import DataError, InputNotFoundError
from deeplab.evaluation import example_picture, pictures


@pytest.mark.parametrize("matplotlib", ["missing", "without its photo"])
def test_made_up_pictures_need_no_photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, matplotlib: str) -> None:
    found = None if matplotlib == "missing" else SimpleNamespace(origin=str(tmp_path / "matplotlib" / "__init__.py"))
    monkeypatch.setattr("deeplab.evaluation.picture.find_spec", lambda _: found)
    images = [picture.image for picture in pictures(None, split="val", limit=8)]
    assert [image.shape for image in images] == [(301, 402, 3), (257, 513, 3)]
    assert np.array_equal(example_picture(), images[0])


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """One image of the class road."""
    for folder in ("images", "masks"):
        (tmp_path / "train" / folder).mkdir(parents=True)
    Image.new("RGB", (20, 30)).save(tmp_path / "train/images/a.png")
    Image.new("L", (20, 30), 1).save(tmp_path / "train/masks/a.png")
    (tmp_path / "classes.txt").write_text("sky\nroad\n")
    return tmp_path


def test_a_picture_beside_the_folders_of_a_data_set_does_not_make_it_a_folder_of_photos(dataset: Path) -> None:
    Image.new("RGB", (9, 9)).save(dataset / "preview.png")
    (picture,) = pictures(dataset, classes=("sky", "road"), split="train", limit=8)
    assert picture.image.shape == (30, 20, 3)
    assert picture.mask is not None


def test_a_folder_of_photos_is_all_of_them(tmp_path: Path) -> None:
    for name in ("a.png", "b.JPG"):
        Image.new("RGB", (20, 30)).save(tmp_path / name)
    (tmp_path / "masks").mkdir()  # alone it is no data set
    assert len(pictures(tmp_path, split="val", limit=8)) == 2


def test_masks_are_read_where_they_are_to_be_compared(dataset: Path, caplog: pytest.LogCaptureFixture) -> None:
    (picture,) = pictures(dataset, classes=("sky", "road"), split="train", limit=8)
    assert picture.mask is not None
    assert np.all(picture.mask == 1)
    (picture,) = pictures(dataset, classes=("sea",), split="train", limit=8)
    assert picture.mask is None
    assert caplog.messages == [f"the masks of {dataset} are not compared: their classes are not those of the model"]
    Image.new("L", (20, 30), 9).save(dataset / "train/masks/a.png")
    with pytest.raises(DataError, match="label 9"):
        pictures(dataset, classes=("sky", "road"), split="train", limit=8)
    (picture,) = pictures(dataset, split="train", limit=8)
    assert (picture.image.shape, picture.mask, len(caplog.messages)) == ((30, 20, 3), None, 1)


def test_a_folder_that_fits_two_formats_is_named_by_the_option_of_this_command(dataset: Path) -> None:
    (dataset / "leftImg8bit").mkdir()
    with pytest.raises(
        DataError, match="could be cityscapes or folder; say which one by --data-format, as in --data-f"
    ):
        pictures(dataset, split="train", limit=8)
    assert len(pictures(dataset, split="train", limit=8, format="folder")) == 1


def test_without_a_split_named_it_is_train_or_what_there_is(dataset: Path) -> None:
    shutil.copytree(dataset / "train", dataset / "a")
    Image.new("RGB", (40, 30)).save(dataset / "a/images/a.png")
    Image.new("L", (40, 30), 1).save(dataset / "a/masks/a.png")
    assert [picture.image.shape for picture in pictures(dataset, split=None, limit=8)] == [(30, 20, 3)]
    shutil.rmtree(dataset / "train")
    assert [picture.image.shape for picture in pictures(dataset, split=None, limit=8)] == [(30, 40, 3)]


def test_a_single_photo_is_refused_with_what_may_stand_there(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(InputNotFoundError, match=r"photo\.jpg: a file; name a folder of images, or that of a data set"):
        pictures(tmp_path / "photo.jpg", split="val", limit=8)
