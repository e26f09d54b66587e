"""What an exported network is compared on."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from deeplab.errors import DataError, InputNotFoundError
from deeplab.evaluation import Picture, compare_exported, pictures
from deeplab.evaluation.parity import label_map_agreement
from deeplab.runtimes import EngineNetwork
from deeplab.runtimes._exported import Description


@pytest.mark.parametrize("matplotlib", ["missing", "without its photo"])
def test_made_up_pictures_need_no_photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, matplotlib: str) -> None:
    found = None if matplotlib == "missing" else SimpleNamespace(origin=str(tmp_path / "matplotlib" / "__init__.py"))
    monkeypatch.setattr("deeplab.evaluation.parity.find_spec", lambda _: found)
    images = [picture.image for picture in pictures(None, split="val", limit=8)]
    assert [image.shape for image in images] == [(301, 402, 3), (257, 513, 3)]


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


@pytest.mark.parametrize(
    ("labels", "share"), [([[0, 1]], 1), ([[0, 2]], 1), ([[2, 0]], 0), ([[0, 0]], 0.5), ([[0, 9]], 0.5)]
)
def test_a_label_map_may_have_either_of_two_equal_classes_but_no_other(labels: list[list[int]], share: float) -> None:
    logits = np.array([[[[3, 0]], [[0, 1]], [[0, 1]]]], np.float32)  # the second pixel is of class 1 or 2
    colors = ((0, 0, 0),) * 3
    description = Description("v3", ("a", "b", "c"), colors, None, False, 1, None, (0, 0, 0))
    network = EngineNetwork(
        lambda _: logits, description, engine="none", run_both=lambda _: (logits, np.array([labels], np.uint8))
    )
    assert label_map_agreement(network, np.zeros((1, 2, 3), np.uint8)) == share


def test_a_single_photo_is_refused_with_what_may_stand_there(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(InputNotFoundError, match=r"photo\.jpg: a file; name a folder of images, or that of a data set"):
        pictures(tmp_path / "photo.jpg", split="val", limit=8)


def test_pixels_of_a_mask_are_ignored_where_the_data_set_ignores_them(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.array([[255, 1]], np.uint16)

    def segment(image: object) -> SimpleNamespace:
        return SimpleNamespace(labels=labels, probabilities=np.zeros((300, 1, 2), np.float32))

    segment.classes = tuple(f"class {number}" for number in range(300))  # type: ignore[attr-defined]
    monkeypatch.setattr("deeplab.evaluation.parity._logits_difference", lambda *others: 0.0)
    picture = Picture(np.zeros((1, 2, 3), np.uint8), np.array([[255, 65535]], np.uint16), ignore_index=65535)
    assert compare_exported(segment, segment, [picture], bound=1.0).miou == (1, 1)  # type: ignore[arg-type]
