from __future__ import annotations

import pytest

from deeplab import checkpoints
from deeplab.data import load_sample, open_dataset
from deeplab.errors import InputNotFoundError, UnknownNameError
from deeplab.inference import Segmenter
from deeplab.metrics import confusion_matrix, miou
from deeplab.weights import find, shipped


def test_cityscapes_objects_and_street_ship():
    assert set(shipped()) == {"cityscapes", "objects", "street"}


def test_they_take_less_than_12_megabytes_together():
    assert sum(file.stat().st_size for file in shipped().values()) < 12e6


@pytest.mark.parametrize("name", ["cityscapes", "objects", "street"])
def test_each_has_a_card_that_names_its_data_and_licences(name):
    card = shipped()[name].with_suffix(".md").read_text(encoding="utf-8")
    for word in ("Licence", "Data", "Measured", "examples/"):
        assert word in card


@pytest.mark.parametrize(("name", "classes"), [("cityscapes", 19), ("objects", 21), ("street", 11)])
def test_each_loads_and_knows_how_it_was_trained(name, classes):
    loaded = checkpoints.load(find(name))
    assert len(loaded.classes) == classes
    assert {"epochs", "converted_from"} & loaded.training.keys()


def test_street_still_sees_streets(shared):
    # a part of val, which it was trained on: whether the file is whole, not how good it is; test is left alone
    dataset = open_dataset(shared / "data/camvid")
    segmenter = Segmenter(checkpoints.load(find("street")), device="cpu")
    counts = 0
    for sample in dataset.split("val")[::12]:
        image, target = load_sample(sample, dataset)
        counts += confusion_matrix(segmenter.labels(image), target, num_classes=11)
    assert miou(counts) > 0.7


def test_objects_still_sees_people(shared):
    # person or not, on every 10th test photo
    dataset = open_dataset(shared / "data/clothing_ccp")
    segmenter = Segmenter(checkpoints.load(find("objects")), device="cpu")
    counts = 0
    for sample in dataset.split("test")[::10]:
        image, target = load_sample(sample, dataset)
        counts += confusion_matrix(segmenter.labels(image) == 15, target > 0, num_classes=2)
    assert miou(counts) > 0.8


def test_a_misspelt_name_names_the_nearest():
    with pytest.raises(UnknownNameError, match="no model 'object'; did you mean objects"):
        find("object")


def test_a_folder_is_no_model(tmp_path):
    with pytest.raises(InputNotFoundError, match=r"is a folder; wanted .*best\.safetensors"):
        find(tmp_path)


@pytest.mark.parametrize("name", ["", ".", "/"])
def test_a_folder_without_a_name_is_no_model(name):
    with pytest.raises(InputNotFoundError, match="is a folder; wanted"):
        find(name)


def test_a_tensorflow_checkpoint_goes_by_the_name_of_its_files(tmp_path):
    (tmp_path / "model.ckpt.index").touch()
    assert find(tmp_path / "model.ckpt") == tmp_path / "model.ckpt.index"


def test_a_path_that_is_not_there_is_named():
    with pytest.raises(InputNotFoundError, match=r"runs/nothing\.safetensors"):
        find("runs/nothing.safetensors")


def test_a_segmenter_says_what_it_is():
    segmenter = Segmenter(checkpoints.load(find("street")), device="cpu")
    assert repr(segmenter) == "Segmenter(deeplabv3plus, 11 classes, on cpu)"
