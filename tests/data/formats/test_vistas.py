from __future__ import annotations

import json
import shutil

import pytest

from deeplab.data import open_dataset
from deeplab.errors import DataError


def test_what_is_not_evaluated_is_no_class(make):
    for name in ("vistas_v1", "vistas_v2"):
        dataset = open_dataset(make(name).root)
        assert dataset.classes == ("Bird", "Road", "Wheeled Slow")
        assert dataset.palette.tolist() == [[0, 2, 3], [1, 2, 3], [3, 2, 3]]


def test_its_folders_are_the_usual_splits(make):
    root = make("vistas_v1").root
    shutil.copytree(root / "training/images", root / "testing/images")
    splits = open_dataset(root).splits
    assert {name: len(samples) for name, samples in splits.items()} == {"train": 2, "val": 1, "test": 2}


def test_the_two_versions_of_one_folder_are_told_apart_by_name(make, tmp_path):
    root = make("vistas_v2").root
    (root / "config_v1.2.json").write_text((root / "config_v2.0.json").read_text().replace("Bird", "Ground Animal"))
    for split in ("training", "validation"):
        (root / split / "v2.0/labels").rename(root / split / "labels")
        (root / split / "v2.0").rename(root / split / "v1.2")
        (root / split / "labels").rename(root / split / "v1.2/labels")
    with pytest.raises(DataError, match="could be vistas_v1 or vistas_v2"):
        open_dataset(root)
    dataset = open_dataset(root, format="vistas_v1")
    assert dataset.classes[0] == "Ground Animal"
    assert dataset.split("train")[0].mask.parent.parent.name == "v1.2"


def test_names_that_two_classes_share_give_way_to_the_long_ones(make):
    root = make("vistas_v1").root
    config = json.loads((root / "config.json").read_text())
    config["labels"][0]["readable"] = "Road"
    (root / "config.json").write_text(json.dumps(config))
    assert open_dataset(root).classes == ("kind--Bird", "kind--Road", "kind--Wheeled Slow")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", r"config\.json: line 1 is not JSON"),
        ("[]", r"config\.json: wanted a JSON object, came a list"),
        ("{}", r"config\.json: labels: 'labels' is missing; export or fetch it again"),
        ('{"labels": [{"readable": "a", "name": "b", "color": [1, 2], "evaluate": true}]}', "cannot reshape"),
    ],
)
def test_a_wrong_list_of_classes_is_refused(make, text, problem):
    root = make("vistas_v1").root
    (root / "config.json").write_text(text)
    with pytest.raises(DataError, match=problem):
        open_dataset(root)
