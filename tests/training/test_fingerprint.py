import json

import numpy as np
import pytest
from PIL import Image

from deeplab.data import open_dataset
from deeplab.errors import DataError
from deeplab.training import fingerprint
from deeplab.training.fingerprint import read_data, read_machine


@pytest.fixture
def make_data(tmp_path):
    """`make_data((image, labels), ...)`: a data set of three classes with these training samples."""

    def make(*samples):
        for folder in ("images", "masks"):
            (tmp_path / "train" / folder).mkdir(parents=True)
        for index, (image, labels) in enumerate(samples):
            Image.fromarray(image).save(tmp_path / f"train/images/{index:04}.png")
            Image.fromarray(labels).save(tmp_path / f"train/masks/{index:04}.png")
        (tmp_path / "classes.txt").write_text("ground\nbar\nabsent\n")
        dataset = open_dataset(tmp_path)
        return read_data(dataset.split("train"), dataset)

    return make


def sample(height, width, *, grey=False):
    """Columns of one bar of 4 pixels in every 10, and a corner that is ignored."""
    labels = np.tile(np.repeat(np.array([0, 1], np.uint8), [6, 4]), (height, width // 10))
    labels[:2, :2] = 255
    image = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    return (image[..., :1].repeat(3, axis=2) if grey else image), labels


def test_sizes_are_those_of_the_images(make_data):
    found = make_data(sample(20, 40), sample(40, 60), sample(30, 200))
    assert (found.images, found.looked_at) == (3, 3)
    assert (found.median_size, found.smallest_size, found.largest_size) == ((30, 60), (20, 40), (30, 200))
    assert (found.long_side, found.size_spread) == (60, 5.0)


def test_shares_are_of_the_labelled_pixels_and_absent_classes_have_none(make_data):
    found = make_data(sample(20, 40))
    assert found.class_shares == pytest.approx({"ground": 476 / 796, "bar": 320 / 796, "absent": 0})
    assert found.labelled == 796 / 800
    assert list(found.present) == ["ground", "bar"]


def test_thickness_is_the_median_stretch_along_rows_and_columns(make_data):
    found = make_data(sample(20, 40))
    # bar: 4 in each of 20 rows four times, and 20 in each of 16 columns
    assert found.thickness == {"ground": 6.0, "bar": 4.0}
    assert found.finest == 4.0


def test_nothing_labelled_has_no_thickness(make_data):
    found = make_data((np.zeros((5, 5, 3), np.uint8), np.full((5, 5), 255, np.uint8)))
    assert (found.thickness, found.finest, found.labelled) == ({}, None, 0.0)


def test_grey_is_told_from_colour(make_data):
    assert make_data(sample(20, 40, grey=True), sample(20, 40, grey=True)).grey


def test_one_coloured_image_makes_the_data_coloured(make_data):
    assert not make_data(sample(20, 40, grey=True), sample(20, 40)).grey


def test_of_many_images_some_are_looked_at(make_data, monkeypatch):
    monkeypatch.setattr(fingerprint, "LOOKED_AT", 2)
    found = make_data(*[sample(20, 40)] * 5)
    assert (found.images, found.looked_at) == (5, 2)


def test_a_wrong_mask_is_named(make_data):
    image, labels = sample(20, 40)
    labels[3, 5] = 7
    with pytest.raises(DataError, match=r"0000\.png: label 7 at \(row 3, column 5\)"):
        make_data((image, labels))


def test_data_and_machine_are_written_as_json(make_data, tmp_path):
    fingerprint.write(tmp_path / "fingerprint.json", make_data(sample(20, 40)), read_machine("cpu"))
    written = json.loads((tmp_path / "fingerprint.json").read_text())
    assert written["data"]["median_size"] == [20, 40]
    assert written["machine"]["device"] == "cpu"
    assert written["machine"]["cores"] >= written["machine"]["threads"] >= 1
    assert written["machine"]["memory_gb"] > 0.1
